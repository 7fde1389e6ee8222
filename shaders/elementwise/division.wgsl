// A division of tensors: the operation's own file defines `divided`. Whole numbers divided by 0 are a fault.
#import common/elementwise
#import common/fault

@group(0) @binding(3) var<storage, read_write> faults: array<atomic<u32>, 4>;

fn forward(x: elem, y: elem) -> result {
    if IS_FLOAT == 0u && y == elem(0) {
        report_fault(params.extra.x, 0, 0u);
    }
    return divided(x, y);
}

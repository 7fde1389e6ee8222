// Bad indices. The importing shader declares, as its last binding,
//     var<storage, read_write> faults: array<atomic<u32>, 4>;

// Records the first bad index of all threads and dispatches since the host last looked.
fn report_fault(site: u32, value: i32, bound: u32) {
    var expected = 0u;
    loop {
        let result = atomicCompareExchangeWeak(&faults[0], 0u, site);
        if result.exchanged {
            atomicStore(&faults[1], bitcast<u32>(value));
            atomicStore(&faults[2], bound);
            break;
        }
        // A weak exchange may fail although nobody was faster.
        if result.old_value != expected {
            break;
        }
    }
}

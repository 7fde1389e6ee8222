//! The cases of maxima over windows.

use super::max_pool::{MaxPoolOptions, adaptive_attrs, window_attrs};
use crate::ops::cases;

pub(super) fn window_cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Fill, Input};
    let distinct = |shape: &[usize]| Input::floats(shape).fill(Fill::Distinct);
    let new = MaxPoolOptions::<2>::new;
    let case = |name: &str, x: Input, kernel: [usize; 2], options: MaxPoolOptions<2>| {
        Case::new(name, vec![x]).attrs(window_attrs(kernel, &options, true))
    };
    let hidden = |name: &str, x: Input, kernel: [usize; 2], options: MaxPoolOptions<2>| {
        Case::new(name, vec![x]).attrs(window_attrs(kernel, &options, false))
    };
    let mut list = vec![
        case("2x2", distinct(&[2, 3, 4, 6]), [2, 2], new()),
        hidden("without positions", distinct(&[2, 3, 5, 7]), [2, 2], new()),
        hidden("values only", distinct(&[2, 3, 5, 7]).constant(), [2, 2], new()),
        hidden("values only, padded", distinct(&[3, 6, 7]).constant(), [3, 3], new().stride(2).padding(1)),
        case("2x2 by fours", distinct(&[2, 3, 5, 16]), [2, 2], new()),
        case("3x3 by fours", distinct(&[2, 2, 7, 16]), [3, 3], new().stride(2).padding(1)),
        case("ties by fours", Input::floats(&[2, 6, 24]).fill(Fill::Whole(0, 3)), [3, 3], new().stride(2).padding(1))
            .no_gradcheck(),
        case("extreme by fours", Input::floats(&[3, 9, 8]).fill(EXTREME), [3, 3], new().stride(2).padding(1))
            .no_gradcheck(),
        case("extreme 2x2 by fours", Input::floats(&[3, 6, 8]).fill(EXTREME), [2, 2], new()).no_gradcheck(),
        case("2x2 by fours that cover the plane", distinct(&[2, 3, 6, 16]), [2, 2], new()),
        hidden("values by fours", distinct(&[2, 3, 4, 8]).constant(), [2, 2], new()),
        hidden("values 3x3 by fours", distinct(&[3, 6, 8]).constant(), [3, 3], new().stride(2).padding(1)),
        case("3x3 by fours, one row", distinct(&[3, 1, 8]), [3, 3], new().stride(2).padding(1)),
        case("3x3 stride 2", distinct(&[1, 2, 7, 8]), [3, 3], new().stride(2).padding(1)),
        case("overlapping", distinct(&[2, 5, 6]), [3, 2], new().stride(1)),
        case("gaps", distinct(&[2, 7, 8]), [2, 1], new().stride([3, 2])),
        case("ceil", distinct(&[1, 2, 5, 8]), [2, 3], new().stride(2).ceil_mode(true)),
        case("ceil, last window dropped", distinct(&[1, 1, 4, 5]), [2, 2], new().stride(3).padding(1).ceil_mode(true)),
        case("dilated", distinct(&[2, 9, 10]), [3, 2], new().stride(2).padding(1).dilation([2, 3])),
        case("dilated past the input", distinct(&[1, 4, 4]), [2, 2], new().stride(1).padding(1).dilation(5))
            .no_gradcheck(),
        case("one", distinct(&[1, 1, 1]), [1, 1], new()),
        case("whole plane", distinct(&[2, 3, 4]), [3, 4], new()),
        case("one row", distinct(&[2, 3, 1, 9]), [1, 3], new().stride(2).padding([0, 1])),
        case("no batch", distinct(&[0, 2, 4, 4]), [2, 2], new()),
        case("transposed", distinct(&[2, 3, 6, 5]).arranged(Arrangement::Transposed), [2, 2], new().stride(1)),
        case("strided", distinct(&[2, 5, 6]).arranged(Arrangement::Strided), [2, 2], new()),
        case("expanded", distinct(&[3, 2, 4, 4]).arranged(Arrangement::Expanded), [2, 2], new()),
        case("ties", Input::floats(&[2, 3, 12, 13]).fill(Fill::Whole(0, 3)), [3, 3], new().stride(2)).no_gradcheck(),
        case("zeros", Input::floats(&[2, 9, 9]).fill(Fill::Values(&[0.0, -0.0])), [3, 3], new()).no_gradcheck(),
        case("losers", Input::floats(&[1, 4, 4]).fill(Fill::Values(&[f64::NEG_INFINITY])), [2, 2], new())
            .no_gradcheck(),
        case("unbounded", Input::floats(&[1, 4, 4]).fill(Fill::Values(&[f64::INFINITY])), [2, 2], new()).no_gradcheck(),
        case("extreme", Input::floats(&[2, 17, 5]).fill(EXTREME), [3, 3], new().stride(1).padding(1)).no_gradcheck(),
        case("large", distinct(&[2, 3, 65, 67]), [3, 3], new().stride(2).padding(1)).no_gradcheck(),
        case("large windows", distinct(&[2, 2, 40, 50]), [30, 31], new().stride(9).padding([3, 2])).no_gradcheck(),
        case("large windows of NaN", Input::floats(&[1, 30, 30]).fill(EXTREME), [25, 25], new().stride(5))
            .no_gradcheck(),
        case("large windows of equals", Input::floats(&[1, 30, 30]).fill(Fill::Whole(0, 2)), [25, 25], new().stride(5))
            .no_gradcheck(),
        case("2-d input", distinct(&[4, 4]), [2, 2], new()).fails(),
        case("no channels", distinct(&[1, 0, 4, 4]), [2, 2], new()).fails(),
        case("no rows", distinct(&[1, 0, 4]), [1, 1], new()).fails(),
        case("too small", distinct(&[1, 2, 4]), [3, 2], new()).fails(),
        case("padding", distinct(&[1, 4, 4]), [2, 2], new().padding(2)).fails(),
        case("no kernel", distinct(&[1, 4, 4]), [0, 2], new().stride(1)).fails(),
        case("no stride", distinct(&[1, 4, 4]), [2, 2], new().stride(0)).fails(),
        case("no dilation", distinct(&[1, 4, 4]), [2, 2], new().dilation(0)).fails(),
        case("integers", Input::ints(&[1, 4, 4], 0, 9), [2, 2], new()).fails(),
    ];
    // Whole numbers: halves of the others would be equal, and the kernels would still agree.
    let whole = |shape: &[usize]| Input::floats(shape).fill(Fill::Whole(-40, 40));
    let threes = new().stride(2).padding(1);
    let halves = [
        case("2x2 by fours", whole(&[2, 3, 6, 16]), [2, 2], new()),
        case("2x2 by fours, a row left", whole(&[2, 3, 5, 16]), [2, 2], new()),
        case("3x3 by fours", whole(&[2, 2, 7, 16]), [3, 3], threes),
        case("extreme by fours", Input::floats(&[3, 9, 8]).fill(EXTREME), [3, 3], threes),
        hidden("values by fours", whole(&[2, 3, 4, 8]).constant(), [2, 2], new()),
        hidden("values 3x3 by fours", whole(&[3, 6, 8]).constant(), [3, 3], threes),
        case("any windows", whole(&[2, 5, 6]), [3, 2], new().stride(1)),
        hidden("values of any windows", whole(&[2, 5, 7]).constant(), [2, 2], new()),
    ];
    list.extend(halves.into_iter().flat_map(Case::of_halves));
    list
}

pub(super) fn adaptive_cases() -> Vec<cases::Case> {
    use cases::{Arrangement, Case, EXTREME, Fill, Input};
    let distinct = |shape: &[usize]| Input::floats(shape).fill(Fill::Distinct);
    let case = |name: &str, x: Input, size: [usize; 2]| Case::new(name, vec![x]).attrs(adaptive_attrs(size, true));
    vec![
        case("even", distinct(&[2, 3, 4, 6]), [2, 3]),
        case("uneven", distinct(&[2, 7, 8]), [3, 5]),
        case("global", distinct(&[2, 3, 4, 5]), [1, 1]),
        case("same", distinct(&[2, 3, 4]), [3, 4]),
        case("more", distinct(&[1, 2, 3, 2]), [5, 7]),
        case("none", distinct(&[1, 2, 3, 2]), [0, 2]).no_gradcheck(),
        case("no batch", distinct(&[0, 2, 3, 2]), [2, 2]),
        Case::new("values only", vec![distinct(&[2, 7, 8]).constant()]).attrs(adaptive_attrs([3, 5], false)),
        case("transposed", distinct(&[2, 3, 6, 5]).arranged(Arrangement::Transposed), [4, 2]),
        case("extreme", Input::floats(&[2, 17, 5]).fill(EXTREME), [4, 3]).no_gradcheck(),
        case("large", distinct(&[2, 3, 65, 67]), [7, 9]).no_gradcheck(),
        case("large windows", distinct(&[2, 2, 60, 50]), [2, 1]).no_gradcheck(),
        case("2-d input", distinct(&[4, 4]), [2, 2]).fails(),
        case("integers", Input::ints(&[1, 4, 4], 0, 9), [2, 2]).fails(),
    ]
}

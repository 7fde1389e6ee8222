//! A mistake panics at the user's line, also through operators and layers. The panic hook is the process's: one test.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use lumigrad::{nn, prelude::*};

#[test]
fn mistakes_panic_at_the_users_line() {
    let place: Arc<Mutex<Option<(String, u32)>>> = Arc::default();
    let seen = place.clone();
    std::panic::set_hook(Box::new(move |info| {
        *seen.lock().unwrap() = info.location().map(|l| (l.file().to_string(), l.line()));
    }));
    let (a, b) = Device::reference().scope(|| (Tensor::ones(&[2, 3]), Tensor::ones(&[4, 5])));
    let layer = Device::reference().scope(|| nn::Linear::new(7, 1));
    let check = |name: &str, line: u32, mistake: &dyn Fn()| {
        catch_unwind(AssertUnwindSafe(mistake)).expect_err(name);
        let (file, at) = place.lock().unwrap().take().unwrap();
        assert!(file.ends_with("panics.rs") && at == line, "{name} panics at {file}:{at}, not at line {line}");
    };
    check("a method", line!(), &|| drop(a.matmul(&b)));
    check("an operator", line!(), &|| drop(&a + &b));
    let whole = Device::reference().scope(|| Tensor::from_slice(&[1, 2], &[2]));
    check("an operator with a number", line!(), &|| drop(&whole * 0.5));
    check("a number with an operator", line!(), &|| drop(0.5 % &whole));
    check("a number that the type does not hold", line!(), &|| drop(3e9 % &whole));
    check("an operator on truth values", line!(), &|| drop(&whole & &whole));
    check("a layer", line!(), &|| drop(layer.call(&a)));
    check("a layer's own method", line!(), &|| drop(layer.forward(&a)));
    let lstm = Device::reference().scope(|| nn::LSTM::new(7, 1));
    check("a recurrent layer", line!(), &|| drop(lstm.call(&a)));
    let attention = Device::reference().scope(|| nn::MultiheadAttention::new(3, 1));
    let options = nn::MultiheadAttentionOptions { attn_mask: Some(&b), ..Default::default() };
    check("attention", line!(), &|| drop(attention.attend(&a, &a, &a, &options)));
    check("a view", line!(), &|| drop(a.reshape([7])));
    check("an index", line!(), &|| drop(a.i((0, 7))));
    check("creation", line!(), &|| drop(Tensor::from_slice_on(&[1.0f32], &[2], a.device())));
    let _ = std::panic::take_hook();
}

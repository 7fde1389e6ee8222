//! Activations as layers.

use super::stateless;

stateless! {
    /// `max(x, 0)`. <https://pytorch.org/docs/stable/generated/torch.nn.ReLU.html>
    ReLU => |x| x.relu();
}

//! The operations of a model's forward pass, as a graph.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;

use super::parameter::EvaluationMode;
use super::{Forward, Module, Part, Visitor};
use crate::autograd::no_grad;
use crate::ops::observe::{Observed, Scope, observe};
use crate::ops::{Attr, Attrs};
use crate::tensor::Tensor;

/// What a model computes: the operations of one forward pass, named by the modules that ran them.
///
/// ```
/// use lumigrad::{nn, prelude::*};
/// let net = nn::Sequential::new().add(nn::Linear::new(2, 3)).add(nn::ReLU);
/// let graph = nn::Graph::of(&net, &Tensor::zeros(&[4, 2]));
/// let names: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
/// assert_eq!(names, [
///     "input/0",
///     "Sequential/Linear[0]/weight",
///     "Sequential/Linear[0]/bias",
///     "Sequential/Linear[0]/linear",
///     "Sequential/ReLU[1]/relu",
///     "output/0",
/// ]);
/// assert_eq!(graph.nodes[3].shapes, [[4, 3]]);
/// ```
///
/// Its `Display` is a line a node: name, operation, shape, and what it comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// In the order in which they ran; a parameter stands before the first operation that takes it.
    pub nodes: Vec<GraphNode>,
}

/// An operation, or a tensor that comes from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphNode {
    /// The path of modules and the operation, such as `Net/Sequential[layers]/Linear[0]/linear`; no other node has it.
    pub name: String,
    /// The operation's name; `input`, `output`, `parameter`, `buffer`, or `constant` for any other tensor.
    pub op: String,
    /// Where its inputs come from: a node, and which of its outputs.
    pub inputs: Vec<(usize, usize)>,
    /// The shape of each output.
    pub shapes: Vec<Vec<usize>>,
    /// The operation's arguments that are not tensors.
    pub arguments: Vec<(String, String)>,
}

impl Graph {
    /// Runs the model on this input, in evaluation mode and without a graph for gradients.
    ///
    /// Tensors of inputs and outputs are seen in tuples and lists of them too.
    ///
    /// # Panics
    /// When the model does not take the input.
    #[track_caller]
    pub fn of<M: Forward<In>, In: 'static>(model: &M, input: &In) -> Graph {
        let _restore = EvaluationMode::of(model);
        let (output, list) = observe(|| no_grad(|| model.call(input)));
        let mut build = Build::new(model);
        for (i, tensor) in tensors(input).iter().enumerate() {
            build.source(&format!("input/{i}"), "input", tensor);
        }
        list.iter().for_each(|observed| build.operation(observed));
        for (i, tensor) in tensors(&output).iter().enumerate() {
            build.output(&format!("output/{i}"), tensor);
        }
        Graph { nodes: build.nodes }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            let shapes: Vec<String> = node.shapes.iter().map(|shape| format!("{shape:?}")).collect();
            write!(f, "{}: {} {}", node.name, node.op, shapes.join(", "))?;
            let from: Vec<&str> = node.inputs.iter().map(|&(i, _)| self.nodes[i].name.as_str()).collect();
            writeln!(f, "{}{}", if from.is_empty() { "" } else { " ← " }, from.join(", "))?;
        }
        Ok(())
    }
}

/// The tensors in a value, as far as it is known to hold some.
pub(super) fn tensors(value: &dyn Any) -> Vec<Tensor> {
    if let Some(t) = value.downcast_ref::<Tensor>() {
        vec![t.clone()]
    } else if let Some((a, b)) = value.downcast_ref::<(Tensor, Tensor)>() {
        vec![a.clone(), b.clone()]
    } else if let Some((a, b, c)) = value.downcast_ref::<(Tensor, Tensor, Tensor)>() {
        vec![a.clone(), b.clone(), c.clone()]
    } else if let Some((a, (b, c))) = value.downcast_ref::<(Tensor, (Tensor, Tensor))>() {
        vec![a.clone(), b.clone(), c.clone()]
    } else if let Some((a, b)) = value.downcast_ref::<(Tensor, Option<Tensor>)>() {
        [a].into_iter().chain(b).cloned().collect()
    } else {
        value.downcast_ref::<Vec<Tensor>>().cloned().unwrap_or_default()
    }
}

/// A graph in the making.
struct Build {
    nodes: Vec<GraphNode>,
    /// Tensors that are there, each with its node and output; later ones hide earlier ones in the same place.
    known: Vec<(Tensor, (usize, usize))>,
    /// What the model holds: path, kind, tensor.
    held: Vec<(String, &'static str, Tensor)>,
    names: BTreeMap<String, usize>,
}

impl Build {
    fn new(model: &dyn Module) -> Self {
        let mut held = Vec::new();
        model.visit(&mut Visitor::new(&mut |path, part| match part {
            Part::Parameter(p) => held.push((path.to_string(), "parameter", p.get())),
            Part::Buffer(b) => held.push((path.to_string(), "buffer", b.get())),
            Part::Training(_) => {}
        }));
        Build { nodes: Vec::new(), known: Vec::new(), held, names: BTreeMap::new() }
    }

    /// The name, with a number when it is taken.
    fn unique(&mut self, name: &str) -> String {
        let count = self.names.entry(name.to_string()).or_default();
        *count += 1;
        if *count == 1 { name.to_string() } else { format!("{name}_{}", *count - 1) }
    }

    fn push(&mut self, name: &str, op: &str, inputs: Vec<(usize, usize)>, outputs: &[Tensor], attrs: &Attrs) -> usize {
        let name = self.unique(name);
        let shapes = outputs.iter().map(|t| t.shape().to_vec()).collect();
        let arguments = attrs.iter().map(|(name, attr)| (name.to_string(), text(attr))).collect();
        self.nodes.push(GraphNode { name, op: op.to_string(), inputs, shapes, arguments });
        let node = self.nodes.len() - 1;
        self.known.extend(outputs.iter().enumerate().map(|(i, t)| (t.clone(), (node, i))));
        node
    }

    /// A tensor from outside.
    fn source(&mut self, name: &str, op: &str, tensor: &Tensor) -> (usize, usize) {
        (self.push(name, op, Vec::new(), std::slice::from_ref(tensor), &Attrs::new()), 0)
    }

    /// Where a tensor comes from. One that nothing made is the model's, or a constant.
    fn origin(&mut self, tensor: &Tensor, scopes: &[Scope]) -> (usize, usize) {
        if let Some((_, at)) = self.known.iter().rev().find(|(known, _)| known.is_same_place(tensor)) {
            return *at;
        }
        match self.held.iter().position(|(_, _, held)| held.is_same_place(tensor)) {
            Some(i) => {
                let (path, kind, _) = self.held[i].clone();
                let (module, name) = path.rsplit_once('.').unwrap_or(("", &path));
                // A parameter of a module that runs: under its name. Others keep their path below what runs.
                let depth = scopes.iter().rposition(|scope| scope.path == module).unwrap_or(0);
                let below = if scopes.is_empty() || scopes[depth].path == module { name } else { &path };
                let name = join(&prefix(&scopes[..scopes.len().min(depth + 1)]), &below.replace('.', "/"));
                self.source(&name, kind, tensor)
            }
            None => self.source(&join(&prefix(scopes), "constant"), "constant", tensor),
        }
    }

    fn operation(&mut self, observed: &Observed) {
        let inputs = observed.inputs.iter().map(|input| self.origin(input, &observed.scopes)).collect();
        let op = observed.operation.name;
        let name = join(&prefix(&observed.scopes), op);
        self.push(&name, op, inputs, &observed.outputs, &observed.attrs);
    }

    fn output(&mut self, name: &str, tensor: &Tensor) {
        let from = self.origin(tensor, &[]);
        let node = self.push(name, "output", vec![from], &[], &Attrs::new());
        self.nodes[node].shapes = vec![tensor.shape().to_vec()];
    }
}

/// `Net/Sequential[layers]/Linear[0]`.
fn prefix(scopes: &[Scope]) -> String {
    let mut text = String::new();
    for (i, scope) in scopes.iter().enumerate() {
        if i == 0 {
            text.push_str(scope.type_name);
            continue;
        }
        let parent = &scopes[i - 1].path;
        let below = scope.path.strip_prefix(parent.as_str()).unwrap_or(&scope.path).trim_start_matches('.');
        text.push_str(&format!("/{}[{below}]", scope.type_name));
    }
    text
}

fn join(prefix: &str, name: &str) -> String {
    // The slash parts levels.
    let name = name.replace(' ', "_");
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

fn text(attr: &Attr) -> String {
    match attr {
        Attr::Int(v) => v.to_string(),
        Attr::Float(v) => v.to_string(),
        Attr::Bool(v) => v.to_string(),
        Attr::Ints(v) => format!("{v:?}"),
        Attr::DType(v) => v.to_string(),
        Attr::Device(v) => v.to_string(),
        Attr::Str(v) => v.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use crate::nn::Parameter;
    use crate::nn::{BatchNorm1d, Dropout, Linear, MaxPool1d, ReLU, Sequential};

    #[derive(Module)]
    struct Net {
        layers: Sequential,
        scale: Parameter,
    }

    impl Forward for Net {
        type Output = (Tensor, Tensor);
        fn forward(&self, x: &Tensor) -> Self::Output {
            let out = self.layers.call(x);
            let shifted = &out + &Tensor::from_slice(&[1.0f32], &[1]);
            let (values, indices) = (out * self.scale.get()).max_dim(1, false);
            (values + shifted.sum(), indices)
        }
    }

    fn net() -> Net {
        let layers = Sequential::new().add(Linear::new(2, 3)).add(BatchNorm1d::new(3)).add(Dropout::new(0.5));
        layers.set_training(true);
        Net { layers, scale: Parameter::new(Tensor::scalar(2.0)) }
    }

    fn find<'a>(graph: &'a Graph, name: &str) -> &'a GraphNode {
        let found = graph.nodes.iter().find(|node| node.name == name);
        found.unwrap_or_else(|| panic!("{name} is not in\n{graph}"))
    }

    fn from<'a>(graph: &'a Graph, name: &str) -> Vec<&'a str> {
        find(graph, name).inputs.iter().map(|&(i, _)| graph.nodes[i].name.as_str()).collect()
    }

    #[test]
    fn edges_join_what_belongs_together() {
        Device::reference().scope(|| {
            let net = net();
            let graph = Graph::of(&net, &Tensor::ones(&[4, 2]));
            let linear = "Net/Sequential[layers]/Linear[0]/linear";
            assert_eq!(
                from(&graph, linear),
                ["input/0", "Net/Sequential[layers]/Linear[0]/weight", "Net/Sequential[layers]/Linear[0]/bias"]
            );
            assert_eq!(find(&graph, linear).shapes, [[4, 3]]);
            assert!(from(&graph, "Net/mul").contains(&"Net/scale"), "{graph}");
            assert!(from(&graph, "Net/add").contains(&"Net/constant"), "{graph}");
            let max = from(&graph, "output/1")[0];
            let node = find(&graph, max);
            assert_eq!(node.shapes, [[4], [4]], "{graph}");
            let second = find(&graph, "output/1").inputs[0].1;
            assert_eq!(second, 1);
            let running = graph.nodes.iter().filter(|n| n.op == "buffer").count();
            assert!(running >= 2, "{graph}");
            // Dropout did nothing: evaluation mode. All is as it was before.
            assert!(!graph.to_string().contains("Dropout"), "{graph}");
            let mut training = 0;
            net.visit(&mut Visitor::new(&mut |_, part| {
                training += usize::from(matches!(part, Part::Training(t) if t.is_on()));
            }));
            assert!(training > 0);
        });
    }

    #[test]
    fn names_are_unique_and_inner_operations_are_left_out() {
        Device::reference().scope(|| {
            let net = Sequential::new().add(ReLU).add(MaxPool1d::new(2)).add(ReLU);
            let graph = Graph::of(&net, &Tensor::ones(&[1, 2, 4]));
            let mut names: Vec<_> = graph.nodes.iter().map(|n| &n.name).collect();
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count, "{graph}");
            assert_eq!(from(&graph, "output/0"), ["Sequential/ReLU[2]/relu"]);
            // Outside of an observer nothing is kept.
            let ((), list) = observe(|| ());
            assert!(list.is_empty());
        });
    }
}

//! A model's graph as TensorFlow's `GraphDef`.

use std::collections::BTreeMap;

use prost::Message;

use super::proto::{Attr, AttrList, AttrValue, GraphDef, NodeDef, TensorShape, VersionDef, What};
use crate::nn::Graph;

pub(super) fn event(graph: &Graph) -> What {
    let node = |node: &crate::nn::GraphNode| {
        let input = node.inputs.iter().map(|&(from, output)| {
            let name = &graph.nodes[from].name;
            if output == 0 { name.clone() } else { format!("{name}:{output}") }
        });
        let shape = node.shapes.iter().map(|shape| TensorShape::of(shape)).collect();
        let mut attr = BTreeMap::new();
        attr.insert("_output_shapes".to_string(), AttrValue { value: Some(Attr::List(AttrList { shape })) });
        for (name, value) in &node.arguments {
            attr.insert(name.clone(), AttrValue { value: Some(Attr::Bytes(value.clone().into_bytes())) });
        }
        NodeDef { name: node.name.clone(), op: node.op.clone(), input: input.collect(), attr }
    };
    // The version that PyTorch's files have.
    let versions = Some(VersionDef { producer: 22 });
    What::GraphDef(GraphDef { node: graph.nodes.iter().map(node).collect(), versions }.encode_to_vec())
}

//! The places of all fields of a job, as one tree that is walked beside a
//! document.
//!
//! A place in a document can be at several nodes at once: element 0 is reached
//! by `*` and by `0`. Those are a [`State`]: a stretch of a stack of nodes, so
//! that walking takes no memory per step.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::manifest::fields::{FieldPath, Step};

/// The tree. Its first node stands for a whole record.
pub(in crate::shape) struct Tree(Vec<Node>);

/// What a step of a pointer leads to.
#[derive(Default)]
struct Node {
    /// The numbers of the fields that are here.
    fields: Vec<usize>,
    /// The member or element of a name.
    names: BTreeMap<String, usize>,
    /// Those of them that are also an array's index.
    indexes: BTreeMap<usize, usize>,
    /// Each element of an array.
    each: Option<usize>,
    /// A field that is here or further down.
    leads_to: usize,
    /// A field that is further down, if there is one.
    below: Option<usize>,
}

/// Where in the tree a place in a document is: a stretch of [`Trail::nodes`].
pub(in crate::shape) type State = Range<usize>;

/// The states from a record down to the place that is looked at.
#[derive(Default)]
pub(in crate::shape) struct Trail {
    nodes: Vec<usize>,
    /// Nodes of the named members and elements that were found, per container
    /// from the record down.
    found: Vec<usize>,
}

impl Tree {
    pub(in crate::shape) fn new(fields: &[FieldPath]) -> Self {
        let mut tree = Self(vec![Node::default()]);
        for (field, path) in fields.iter().enumerate() {
            let column;
            let steps = match path {
                FieldPath::Pointer(pointer) => pointer.steps(),
                FieldPath::Column(name) => {
                    column = [Step::Name(name.clone())];
                    &column
                }
            };
            let at = steps.iter().fold(0, |at, step| tree.child(at, step, field));
            if let Some(node) = tree.0.get_mut(at) {
                node.fields.push(field);
            }
        }
        tree
    }

    /// The node that a step leads to, made when it is not there.
    fn child(&mut self, at: usize, step: &Step, field: usize) -> usize {
        let new = self.0.len();
        let Some(node) = self.0.get_mut(at) else { return at };
        node.below.get_or_insert(field);
        let child = match step {
            Step::Each => *node.each.get_or_insert(new),
            Step::Name(name) => {
                let child = *node.names.entry(name.clone()).or_insert(new);
                if let Some(index) = index(name) {
                    node.indexes.insert(index, child);
                }
                child
            }
        };
        if child == new {
            self.0.push(Node { leads_to: field, ..Node::default() });
        }
        child
    }

    fn node(&self, trail: &Trail, at: usize) -> Option<&Node> {
        trail.nodes.get(at).and_then(|node| self.0.get(*node))
    }

    /// The fields that are at a place.
    pub(in crate::shape) fn fields<'t>(
        &'t self,
        trail: &'t Trail,
        state: State,
    ) -> impl Iterator<Item = usize> + 't {
        state.filter_map(|at| self.node(trail, at)).flat_map(|node| node.fields.iter().copied())
    }

    /// A field that lies further down, if there is one.
    pub(in crate::shape) fn field_below(&self, trail: &Trail, state: State) -> Option<usize> {
        state.filter_map(|at| self.node(trail, at)).find_map(|node| node.below)
    }

    fn leads_to(&self, node: usize) -> Option<usize> {
        self.0.get(node).map(|node| node.leads_to)
    }
}

impl Trail {
    /// Goes to the start of a record.
    pub(in crate::shape) fn restart(&mut self) -> State {
        self.nodes.clear();
        self.found.clear();
        self.nodes.push(0);
        0..1
    }

    /// Goes back to a place, from one further down.
    pub(in crate::shape) fn back_to(&mut self, state: &State) {
        self.nodes.truncate(state.end);
    }

    /// Enters the container at the place it is at; [`Trail::leave`] takes what
    /// it gives.
    pub(in crate::shape) const fn enter(&self) -> usize {
        self.found.len()
    }

    /// Leaves a container.
    pub(in crate::shape) fn leave(&mut self, entered: usize) {
        self.found.truncate(entered);
    }

    /// Goes to an object's member.
    ///
    /// # Errors
    /// A field that lies there, when the object had a member of that name before.
    pub(in crate::shape) fn member(
        &mut self,
        tree: &Tree,
        state: &State,
        entered: usize,
        name: &str,
    ) -> Result<State, usize> {
        let start = self.nodes.len();
        for at in state.clone() {
            let child = tree.node(self, at).and_then(|node| node.names.get(name).copied());
            let Some(child) = child else { continue };
            if self.found.get(entered..).is_some_and(|found| found.contains(&child)) {
                return Err(tree.leads_to(child).unwrap_or_default());
            }
            self.found.push(child);
            self.nodes.push(child);
        }
        Ok(start..self.nodes.len())
    }

    /// Goes to an array's element.
    pub(in crate::shape) fn element(&mut self, tree: &Tree, state: &State, index: usize) -> State {
        let start = self.nodes.len();
        for at in state.clone() {
            let Some(node) = tree.node(self, at) else { continue };
            let (named, each) = (node.indexes.get(&index).copied(), node.each);
            self.found.extend(named);
            self.nodes.extend(named);
            self.nodes.extend(each);
        }
        start..self.nodes.len()
    }

    /// A field that cannot be where the container at `state` ends, because it,
    /// or what leads to it, is not there.
    pub(in crate::shape) fn missing(
        &self,
        tree: &Tree,
        state: &State,
        entered: usize,
        array: bool,
    ) -> Option<usize> {
        let found = self.found.get(entered..).unwrap_or_default();
        let missing = |node: &Node| {
            let each = node.each.filter(|_| !array);
            node.names.values().copied().filter(|child| !found.contains(child)).chain(each).next()
        };
        let node = state.clone().filter_map(|at| tree.node(self, at)).find_map(missing);
        node.and_then(|node| tree.leads_to(node))
    }
}

/// The array index that a name is (RFC 6901 §4).
fn index(name: &str) -> Option<usize> {
    let index: usize = name.parse().ok()?;
    (index.to_string() == name).then_some(index)
}

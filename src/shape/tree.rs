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
pub(super) struct Tree(Vec<Node>);

/// What a step of a pointer leads to.
#[derive(Default)]
struct Node {
    /// The numbers of the fields that are here.
    fields: Vec<usize>,
    /// The members or elements that have names, in the names' order.
    names: Vec<Named>,
    /// Those of them that are also an array's index.
    indexes: BTreeMap<usize, usize>,
    /// Each element of an array.
    each: Option<usize>,
    /// A field that is here or further down.
    leads_to: usize,
    /// A field that is further down, if there is one.
    below: Option<usize>,
}

/// A child that a name leads to.
struct Named {
    /// The name's first bytes, see [`Name`].
    front: u64,
    name: Box<str>,
    child: usize,
}

/// A member's name as it is looked up: most differ in length or first bytes.
#[derive(Clone, Copy)]
pub(super) struct Name<'a> {
    /// The first eight bytes, the first in the lowest bits, and zeros.
    front: u64,
    bytes: &'a [u8],
}

/// Where in the tree a place in a document is: a stretch of [`Trail::nodes`].
pub(super) type State = Range<usize>;

/// The states from a record down to the place that is looked at.
pub(super) struct Trail {
    nodes: Vec<usize>,
    /// For each node of the tree, the container in which it was found last, by
    /// its number. A node is in one container at a time: those within lie
    /// further down in the tree.
    found_in: Vec<u64>,
    /// Containers entered so far.
    entered: u64,
}

impl Tree {
    pub(super) fn new(fields: &[FieldPath]) -> Self {
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
                let child = node.named(name, new);
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
    pub(super) fn fields<'t>(
        &'t self,
        trail: &'t Trail,
        state: State,
    ) -> impl Iterator<Item = usize> + 't {
        state.filter_map(|at| self.node(trail, at)).flat_map(|node| node.fields.iter().copied())
    }

    /// A field that lies further down, if there is one.
    pub(super) fn field_below(&self, trail: &Trail, state: State) -> Option<usize> {
        state.filter_map(|at| self.node(trail, at)).find_map(|node| node.below)
    }

    fn leads_to(&self, node: usize) -> Option<usize> {
        self.0.get(node).map(|node| node.leads_to)
    }
}

impl Node {
    /// The child that a name leads to, `new` when it led to none.
    fn named(&mut self, name: &str, new: usize) -> usize {
        let place = self.names.binary_search_by(|named| (*named.name).cmp(name));
        match place {
            Ok(at) => self.names.get(at).map_or(new, |named| named.child),
            Err(at) => {
                let Name { front, .. } = Name::new(name.as_bytes());
                self.names.insert(at, Named { front, name: name.into(), child: new });
                new
            }
        }
    }

    /// The child that a name leads to.
    #[inline]
    fn child(&self, name: Name<'_>) -> Option<usize> {
        if self.names.len() > SEARCHED_IN_ORDER {
            let order = |named: &Named| named.name.as_bytes().cmp(name.bytes);
            let at = self.names.binary_search_by(order).ok()?;
            return self.names.get(at).map(|named| named.child);
        }
        self.names.iter().find(|named| named.is(name)).map(|named| named.child)
    }
}

impl Named {
    #[inline]
    fn is(&self, name: Name<'_>) -> bool {
        self.front == name.front
            && self.name.len() == name.bytes.len()
            && self.name.as_bytes().get(FRONT..) == name.bytes.get(FRONT..)
    }
}

impl<'a> Name<'a> {
    /// The name that is all of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let shift = |front: u64, byte: &u8| front << 8 | u64::from(*byte);
        Self { front: bytes.iter().take(FRONT).rev().fold(0, shift), bytes }
    }

    /// The name that is the first `len` bytes of `text`.
    #[inline]
    pub(super) fn at_front(text: &'a [u8], len: usize) -> Self {
        let bytes = text.get(..len).unwrap_or_default();
        match text.first_chunk::<FRONT>() {
            Some(front) => {
                let beyond = u32::try_from(FRONT.saturating_sub(bytes.len())).unwrap_or(0);
                let mask = u64::MAX.checked_shr(beyond.saturating_mul(8)).unwrap_or(0);
                Self { front: u64::from_le_bytes(*front) & mask, bytes }
            }
            None => Self::new(bytes),
        }
    }
}

impl Trail {
    pub(super) fn new(tree: &Tree) -> Self {
        Self { nodes: Vec::new(), found_in: vec![0; tree.0.len()], entered: 0 }
    }

    /// Goes to the start of a record.
    pub(super) fn restart(&mut self) -> State {
        self.nodes.clear();
        self.nodes.push(0);
        0..1
    }

    /// Goes back to a place, from one further down.
    #[inline]
    pub(super) fn back_to(&mut self, state: &State) {
        self.nodes.truncate(state.end);
    }

    /// Enters a container, and gives its number.
    pub(super) const fn enter(&mut self) -> u64 {
        // From 1: nothing has been found in 0. It does not wrap around within
        // any stream's length.
        self.entered = self.entered.wrapping_add(1);
        self.entered
    }

    /// Goes to a member of the object number `container`.
    ///
    /// # Errors
    /// A field that lies there, when the object had a member of that name before.
    #[inline]
    pub(super) fn member(
        &mut self,
        tree: &Tree,
        state: &State,
        container: u64,
        name: Name<'_>,
    ) -> Result<(), usize> {
        // Most often there is one, and the loop is not worth it.
        if state.len() == 1 {
            return self.child(tree, state.start, container, name);
        }
        state.clone().try_for_each(|at| self.child(tree, at, container, name))
    }

    #[inline]
    fn child(
        &mut self,
        tree: &Tree,
        at: usize,
        container: u64,
        name: Name<'_>,
    ) -> Result<(), usize> {
        let Some(child) = tree.node(self, at).and_then(|node| node.child(name)) else {
            return Ok(());
        };
        if self.found(child, container) {
            return Err(tree.leads_to(child).unwrap_or_default());
        }
        self.nodes.push(child);
        Ok(())
    }

    /// Goes to an element of the array number `container`.
    #[inline]
    pub(super) fn element(&mut self, tree: &Tree, state: &State, container: u64, index: usize) {
        for at in state.clone() {
            let Some(node) = tree.node(self, at) else { continue };
            let (named, each) = (node.indexes.get(&index).copied(), node.each);
            if let Some(named) = named {
                self.found(named, container);
                self.nodes.push(named);
            }
            self.nodes.extend(each);
        }
    }

    /// The place it went to from `state`.
    #[inline]
    pub(super) fn further_than(&self, state: &State) -> State {
        state.end..self.nodes.len()
    }

    /// Notes that a node was found in a container. Gives whether it was before.
    #[inline]
    fn found(&mut self, node: usize, container: u64) -> bool {
        let before = self.found_in.get_mut(node).map(|last| std::mem::replace(last, container));
        before == Some(container)
    }

    /// A field that cannot be where the container number `container` at `state`
    /// ends, because it, or what leads to it, is not there.
    pub(super) fn missing(
        &self,
        tree: &Tree,
        state: &State,
        container: u64,
        array: bool,
    ) -> Option<usize> {
        let found = |child: usize| self.found_in.get(child) == Some(&container);
        let missing = |node: &Node| {
            let each = node.each.filter(|_| !array);
            node.names.iter().map(|named| named.child).filter(|c| !found(*c)).chain(each).next()
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

/// Bytes of a name that are compared at once.
const FRONT: usize = 8;

/// Names that are compared one after the other; more are searched by halves.
const SEARCHED_IN_ORDER: usize = 16;

//! Folded stacks of other profilers, `a;b;c 12` a line, and one tree of one or several such files.

use std::io::{self, BufRead};

use rustc_hash::FxHashMap;
use thiserror::Error;

use crate::view::FrameKind;
use crate::view::category::category;
use crate::view::names::display_name;
use crate::view::prefix_tree::{Paths, Prefix, PrefixTree};

/// One file.
#[derive(Clone, Debug)]
pub struct Folded {
    names: Vec<String>,
    /// Numbers of names, outermost first.
    paths: Paths,
    /// Parallel to the paths.
    counts: Vec<f64>,
    pub total: f64,
    /// All numbers are whole: they count samples, as far as one can see.
    pub is_counted: bool,
}

/// Why text is no folded stacks.
#[derive(Debug, Error)]
pub enum NotFolded {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("line {0} is not a folded stack: expected frames and a number, as in `main;work 12`")]
    Line(usize),
    #[error("it holds no samples")]
    Empty,
    #[error("its numbers are too large to add up")]
    TooLarge,
}

impl Folded {
    /// Reads a whole file, to its end. What is not UTF-8 in it is replaced.
    pub fn read(mut reader: impl BufRead) -> Result<Folded, NotFolded> {
        let mut folded = Folded {
            names: Vec::new(),
            paths: Paths::default(),
            counts: Vec::new(),
            total: 0.0,
            is_counted: true,
        };
        let mut numbers: FxHashMap<String, u32> = FxHashMap::default();
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            if reader.read_until(b'\n', &mut bytes)? == 0 {
                break;
            }
            let line = String::from_utf8_lossy(&bytes);
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let (frames, count) = stack(line).ok_or(NotFolded::Line(number))?;
            let names = &mut folded.names;
            folded.paths.push(frames.split(';').map(|name| {
                numbers.get(name).copied().unwrap_or_else(|| {
                    let next = names.len() as u32;
                    numbers.insert(name.to_owned(), next);
                    names.push(name.to_owned());
                    next
                })
            }));
            folded.counts.push(count);
            folded.total += count;
            folded.is_counted &= count.fract() == 0.0;
        }
        if !folded.total.is_finite() {
            return Err(NotFolded::TooLarge);
        }
        if folded.total <= 0.0 {
            return Err(NotFolded::Empty);
        }
        Ok(folded)
    }

    /// How many stacks it lists.
    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }
}

/// Frames may hold blanks; the number is behind the last one.
fn stack(line: &str) -> Option<(&str, f64)> {
    let (frames, number) = line.rsplit_once(char::is_whitespace)?;
    let number: f64 = number.parse().ok()?;
    let is_usable = number.is_finite() && number >= 0.0;
    is_usable.then_some((frames.trim_end(), number))
}

#[derive(Clone, Copy, Debug, Default)]
pub struct FoldedTreeOptions {
    /// Functions by their whole names, as they are in the files.
    pub exact_names: bool,
    /// Innermost first.
    pub inverted: bool,
    /// Places with less than this part of all have no node of their own.
    pub min_share: f64,
}

/// A place in the tree of all files.
#[derive(Clone, Debug)]
pub struct FoldedNode {
    pub name: String,
    pub kind: FrameKind,
    /// The root is its own.
    pub parent: usize,
    /// By file, with all that is inside.
    pub counts: Vec<f64>,
    /// Its part of all: a file is 1e15, but for rounding. Parents are the exact sums of what ends there and their children.
    pub weight: u64,
}

/// What the stacks of one file weigh together, but for rounding.
const WHOLE: f64 = 1e15;

/// The tree of some files: parents before children, siblings by name, the root first.
pub fn folded_tree(files: &[&Folded], options: FoldedTreeOptions) -> Vec<FoldedNode> {
    let shown = |name: &String| match options.exact_names {
        true => name.clone(),
        false => display_name(name),
    };
    let names: Vec<Vec<String>> = files
        .iter()
        .map(|file| file.names.iter().map(shown).collect())
        .collect();
    let mut all: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
    all.sort_unstable();
    all.dedup();
    let mut paths = Paths::default();
    let (mut weights, mut counted) = (Vec::new(), Vec::new());
    for (number, (file, names)) in files.iter().zip(&names).enumerate() {
        let steps = names
            .iter()
            .map(|name| all.partition_point(|known| known < &name.as_str()) as u32);
        let steps: Vec<u32> = steps.collect();
        for (at, &count) in file.counts.iter().enumerate() {
            let path = file.paths[at].iter().map(|&name| steps[name as usize]);
            match options.inverted {
                true => paths.push(path.rev()),
                false => paths.push(path),
            }
            weights.push((count / file.total * WHOLE) as u64);
            counted.push((number, count));
        }
    }
    let whole: u64 = weights.iter().sum();
    let min_weight = (whole as f64 * options.min_share).ceil() as u64;
    let keys: Vec<u32> = (0..all.len() as u32).collect();
    let tree = PrefixTree::new(&paths, &keys, &weights, min_weight);
    let mut nodes: Vec<FoldedNode> = Vec::with_capacity(tree.places.len());
    for place in &tree.places {
        let (name, kind) = match place.what {
            Prefix::Root => ("all", FrameKind::Root),
            Prefix::Step(step) => {
                let name = all[step as usize];
                (name, FrameKind::Function(category(name, "")))
            }
            Prefix::Others(frames) => ("(other)", FrameKind::Others(frames as u32)),
        };
        let mut node = FoldedNode {
            name: name.to_owned(),
            kind,
            parent: place.parent,
            counts: vec![0.0; files.len()],
            weight: 0,
        };
        for &path in &tree.order[place.ends.clone()] {
            let (number, count) = counted[path as usize];
            node.counts[number] += count;
            node.weight += weights[path as usize];
        }
        nodes.push(node);
    }
    for at in (1..nodes.len()).rev() {
        let (before, from) = nodes.split_at_mut(at);
        let parent = &mut before[from[0].parent];
        parent.weight += from[0].weight;
        for (sum, count) in parent.counts.iter_mut().zip(&from[0].counts) {
            *sum += count;
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Folded, NotFolded> {
        Folded::read(text.as_bytes())
    }

    #[test]
    fn names_hold_anything_but_semicolons_and_numbers_may_be_fractions() {
        let folded = read("a b;größe <T>;\"c\" 3\r\n\n  x 1e1\n").unwrap();
        assert_eq!(folded.names, ["a b", "größe <T>", "\"c\"", "x"]);
        assert_eq!(folded.paths[0], [0, 1, 2]);
        assert_eq!((folded.total, folded.is_counted), (13.0, true));
        assert!(!read("a;b 12.5\n").unwrap().is_counted);
        for (text, why) in [
            ("", "it holds no samples"),
            ("a;b 0", "it holds no samples"),
            ("a 1\nb", "line 2 is not"),
            ("a -1", "line 1 is not"),
            ("a inf", "line 1 is not"),
            ("a 1e308\nb 1e308", "too large"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn one_tree_of_two_files() {
        let files = [
            read("a;b 3\na 1\nc 4").unwrap(),
            read("a;b 1.5\na;d 0.5").unwrap(),
        ];
        let files: Vec<&Folded> = files.iter().collect();
        let nodes = folded_tree(&files, FoldedTreeOptions::default());
        let shown: Vec<_> = nodes
            .iter()
            .map(|node| {
                (
                    node.name.as_str(),
                    node.parent,
                    node.counts.as_slice(),
                    node.weight,
                )
            })
            .collect();
        let expected: [(&str, usize, &[f64], u64); 5] = [
            ("all", 0, &[8.0, 2.0], 2_000_000_000_000_000),
            ("a", 0, &[4.0, 2.0], 1_500_000_000_000_000),
            ("b", 1, &[3.0, 1.5], 1_125_000_000_000_000),
            ("d", 1, &[0.0, 0.5], 250_000_000_000_000),
            ("c", 0, &[4.0, 0.0], 500_000_000_000_000),
        ];
        assert_eq!(shown, expected);
        let inverted = FoldedTreeOptions {
            inverted: true,
            min_share: 0.2,
            ..FoldedTreeOptions::default()
        };
        let nodes = folded_tree(&files, inverted);
        let shown: Vec<_> = nodes.iter().map(|node| (node.name.as_str(), node.kind)).collect();
        let app = FrameKind::Function(category("a", ""));
        let expected = [
            ("all", FrameKind::Root),
            ("b", app),
            ("a", app),
            ("c", app),
            ("(other)", FrameKind::Others(3)),
        ];
        assert_eq!(shown, expected);
    }
}

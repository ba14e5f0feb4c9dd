//! The blocks of a Markdown page between ``` and ```, by language and name.

use std::path::Path;

/// A block: `` ```toml mask job `` has the language `toml` and the name
/// `mask job`.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) page: &'static str,
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) name: String,
    pub(crate) text: String,
}

/// The pages that are tested.
pub(crate) const PAGES: [&str; 3] = ["operations.md", "manifest.md", "formats.md"];

pub(crate) fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub(crate) fn blocks(page_name: &'static str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, text) in (1..).zip(page(page_name).lines()) {
        let (fence, mut block) = (text.strip_prefix("```"), open.take());
        match (fence, &mut block) {
            (Some(_), Some(_)) => blocks.extend(block),
            (Some(info), None) => {
                let (language, name) = info.split_once(' ').unwrap_or((info, ""));
                let (language, name) = (language.to_owned(), name.to_owned());
                open = Some(Block { page: page_name, line, language, name, text: String::new() });
            }
            (None, Some(block)) => {
                block.text += text;
                block.text += "\n";
                open = Some(block.clone());
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{page_name}: a block has no end");
    blocks
}

pub(crate) fn all_blocks() -> Vec<Block> {
    PAGES.into_iter().flat_map(blocks).collect()
}

/// The text of the one block of that name.
pub(crate) fn named(page_name: &'static str, name: &str) -> String {
    let found: Vec<_> = blocks(page_name).into_iter().filter(|block| block.name == name).collect();
    assert_eq!(found.len(), 1, "{page_name}: blocks named {name:?}");
    found[0].text.clone()
}

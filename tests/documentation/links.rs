//! Links between the pages lead somewhere.

use std::path::Path;

use crate::blocks::PAGES;

#[test]
fn every_link_of_the_pages_leads_to_a_heading_that_is_there() {
    for page in PAGES {
        let text = crate::blocks::page(page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')) {
            let target = link.0;
            if target.starts_with("https://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { page } else { file };
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
            let there = std::fs::read_to_string(&path);
            let there = there.unwrap_or_else(|error| panic!("{page}: {target}: {error}"));
            let headings: Vec<_> = there.lines().filter_map(anchor).collect();
            assert!(
                heading.is_empty() || headings.iter().any(|one| one == heading),
                "docs/{page}: {target} leads nowhere: {headings:?}"
            );
        }
    }
}

/// The name of a heading in links, as GitHub makes it.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    Some(kept.collect::<String>().to_lowercase().replace(' ', "-"))
}

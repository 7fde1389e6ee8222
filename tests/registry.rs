//! The shape of the source: no orphans, one page an operation, names that are unique, and layers that keep to themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lumigrad::ops::{FAMILIES, REGISTRY, family_of, kernels, operation};

/// Files of `src/ops` that every operation uses and none is made of.
const MACHINERY: &[&str] = &["attrs", "call", "cases", "class_loss", "methods", "mod", "registry", "replace"];

/// Kernels that a page of their folder launches.
const PARTS: &[&str] = &[
    "src/ops/convolution/vectors.rs",
    "src/ops/convolution/weight.rs",
    "src/ops/elementwise/kernels.rs",
    "src/ops/copy_blocks.rs",
    "src/ops/matmul/kernels.rs",
    "src/ops/pooling/max_pool_quads.rs",
];

/// Lines of a source file: what can be read at one sitting.
const MAX_LINES: usize = 600;

#[test]
fn every_shader_is_used_by_a_kernel() {
    let pieces: BTreeSet<&str> = kernels().flat_map(|(_, kernel)| kernel.source.iter().copied()).collect();
    let shaders = files("shaders", "wgsl");
    assert!(shaders.len() > 10, "only {} shaders were found", shaders.len());
    let own = shaders.iter().filter(|(path, _)| !path.starts_with("shaders/common"));
    let orphans: Vec<_> = own.filter(|(_, text)| !pieces.contains(text.as_str())).map(|(path, _)| path).collect();
    assert!(orphans.is_empty(), "no registered kernel is made of {orphans:?}");

    let imported: BTreeSet<String> = lumigrad::engine::imports().map(|path| format!("shaders/{path}.wgsl")).collect();
    let common: BTreeSet<String> = shaders.into_keys().filter(|path| path.starts_with("shaders/common")).collect();
    assert_eq!(common, imported, "shaders/common and what `#import` finds differ");
}

/// A shader has the stem of its operation's page, `matmul_tiled` that of `matmul`; wrappers of a folder belong to its
/// `mod.rs`, a page may own a folder of its name, and a page of several operations names the file of each.
#[test]
fn every_shader_has_its_page() {
    let pages = files("src/ops", "rs");
    let mut lonely = Vec::new();
    for path in files("shaders", "wgsl").into_keys().filter(|path| !path.starts_with("shaders/common")) {
        let below = path.strip_prefix("shaders/").and_then(|p| p.strip_suffix(".wgsl")).expect("a shader's path");
        let (folder, stem) = below.rsplit_once('/').map_or(("", below), |(folder, stem)| (folder, stem));
        // A wrapper for several elements a thread belongs to the one for one.
        let stem = ["_quads", "_halves"].iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(stem);
        let page = |stem: &str| pages.contains_key(&format!("src/ops/{folder}/{stem}.rs").replace("//", "/"));
        let prefixes = stem.match_indices('_').map(|(end, _)| &stem[..end]);
        let own = page(stem) || prefixes.into_iter().any(page);
        let owns_folder = pages.contains_key(&format!("src/ops/{folder}.rs"));
        let neighbours = pages.iter().filter(|(page, _)| page.rsplit_once('/').unwrap().0.ends_with(folder));
        let quoted = format!("\"{stem}\"");
        let named =
            neighbours.into_iter().any(|(_, text)| text.contains(&format!("{below}.wgsl")) || text.contains(&quoted));
        if !own && !owns_folder && !named {
            lonely.push(path);
        }
    }
    assert!(lonely.is_empty(), "no page of src/ops belongs to {lonely:?}");
}

#[test]
fn every_page_is_registered() {
    let registry = code(&std::fs::read_to_string(root().join("src/ops/registry.rs")).unwrap());
    // `&super::reduce::sum::SUM,` is the operation SUM of the page `sum`.
    let lines: Vec<(String, String)> = registry
        .lines()
        .filter_map(|line| line.trim().strip_prefix('&')?.strip_suffix(','))
        .filter_map(|path| {
            let (page, operation) = path.rsplit_once("::")?;
            Some((page.rsplit("::").next()?.to_string(), operation.to_string()))
        })
        .collect();
    assert_eq!(lines.len(), REGISTRY.len(), "a line of the registry was not understood");

    let mut problems = Vec::new();
    let pages = files("src/ops", "rs");
    problems.extend(PARTS.iter().filter(|path| !pages.contains_key(**path)).map(|path| format!("{path} is not there")));
    for (path, text) in &pages {
        let stem = Path::new(path).file_stem().unwrap().to_str().unwrap();
        if MACHINERY.contains(&stem) || PARTS.contains(&path.as_str()) {
            continue;
        }
        let text = code(text);
        let registered: Vec<_> = lines.iter().filter(|(page, _)| page == stem).map(|(_, op)| op.as_str()).collect();
        let has_kernels = text.contains(": Kernel") || text.contains(": Elementwise");
        let composed = !has_kernels && text.contains("methods! {");
        // What a family of pages shares.
        let shared = !has_kernels && pages.values().any(|other| has_word(&code(other), &format!("{stem}::")));
        if registered.is_empty() && !composed && !shared {
            problems.push(format!("{path} has no operation in the registry"));
        }
        problems.extend(
            registered.iter().filter(|op| !has_word(&text, op)).map(|op| format!("{op} is not in {path}, its page")),
        );
        for declared in text.split("static ").skip(1).filter_map(|rest| rest.split_once(": Operation")) {
            if has_only_word(declared.0) && !registered.contains(&declared.0) {
                problems.push(format!("{path}: the operation {} is not registered", declared.0));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn names_are_unique_and_say_where_they_belong() {
    let mut operations = BTreeSet::new();
    for operation in REGISTRY {
        assert!(operations.insert(operation.name), "two operations are named {}", operation.name);
    }
    let pages = files("src/ops", "rs").into_keys();
    let stems: BTreeSet<String> =
        pages.map(|page| Path::new(&page).file_stem().unwrap().to_str().unwrap().to_string()).collect();
    let mut names = BTreeSet::new();
    for (operation, kernel) in kernels() {
        assert!(names.insert(kernel.name), "the kernel {} is listed twice", kernel.name);
        let (owner, entry) = kernel.name.split_once('.').unwrap_or((kernel.name, ""));
        let plain =
            |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        assert!(plain(owner) && plain(entry), "{}: a kernel's name is `operation.entry`", kernel.name);
        let shader = kernel.source.iter().any(|piece| shader_of(piece).is_some_and(|path| path.contains(owner)));
        assert!(
            operation.name == owner || stems.contains(owner) || shader,
            "{}: `{owner}` is neither its operation ({}) nor a page nor its shader",
            kernel.name,
            operation.name
        );
        let labels: BTreeSet<_> = kernel.variants.iter().map(|v| v.label).collect();
        assert_eq!(labels.len(), kernel.variants.len(), "{}: two variants have one label", kernel.name);
        assert!(labels.len() == 1 || !labels.contains(""), "{}: a variant has no label", kernel.name);
    }
    for operation in REGISTRY {
        let cases = (operation.cases)();
        let names: BTreeSet<_> = cases.iter().map(|case| &case.name).collect();
        // A case has one device, and this one moves between two.
        assert!(
            !cases.is_empty() || operation.name == "to_device",
            "{}: without cases nothing tests it",
            operation.name
        );
        assert_eq!(names.len(), cases.len(), "{}: two cases have one name", operation.name);
    }
    for (family, options) in FAMILIES {
        for option in *options {
            let others = FAMILIES.iter().filter(|(other, _)| other != family).flat_map(|(_, options)| *options);
            for other in others {
                assert!(!other.ends_with(option), "{family}: the option {option} ends one of another family, {other}");
            }
            let suffix = format!(".{option}");
            assert!(kernels().any(|(_, k)| k.name.ends_with(&suffix)), "{family}: no kernel is named {option}");
        }
    }
}

#[test]
fn an_operation_is_served_by_its_own_family() {
    let family = |name: &str| family_of(operation(name).expect("it is registered")).map(|(family, _)| *family);
    // `sort.blocks` is called like an option of the recurrent family, and `relu.forward_rows` ends like one of sort's.
    for (name, own) in
        [("sort", "sort"), ("matmul", "matmul"), ("conv2d", "conv"), ("lstm", "recurrent"), ("sum", "reduce")]
    {
        assert_eq!(family(name), Some(own), "{name}");
    }
    assert_eq!(family("relu"), None);
}

/// `tensor → ops → engine → shaders`: what each layer may name.
#[test]
fn layers_keep_to_themselves() {
    /// Words, the folders that may use them (all others may not), and what is said of a breach.
    const RULES: &[(&[&str], &[&str])] = &[
        (&["wgpu", "naga"], &["src/engine/"]),
        (&["unsafe"], &["src/engine/"]),
        (&[".wgsl"], &["src/ops/", "src/engine/shader.rs"]),
    ];
    /// What the layers on top of tensors may not name.
    const BELOW: &[&str] = &["engine::kernel", "engine::Kernel", "dispatch", "HostCall", "HostBuffer"];
    const USERS: &[&str] = &[
        "src/amp/",
        "src/data/",
        "src/io/",
        "src/metrics/",
        "src/nn/",
        "src/optim/",
        "src/plot/",
        "src/tensorboard/",
        "src/train/",
    ];

    let sources = files("src", "rs");
    assert!(sources.len() > 40, "only {} source files were found", sources.len());
    let mut breaches = Vec::new();
    for (path, text) in &sources {
        let code = code(text);
        for (words, allowed) in RULES {
            if !allowed.iter().any(|folder| path.starts_with(folder)) {
                breaches.extend(words.iter().filter(|w| has_word(&code, w)).map(|w| format!("{path} names `{w}`")));
            }
        }
        if USERS.iter().any(|folder| path.starts_with(folder)) {
            breaches.extend(BELOW.iter().filter(|w| has_word(&code, w)).map(|w| format!("{path} names `{w}`")));
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
    // The rules have something to hold on to.
    let engine = sources.iter().filter(|(path, _)| path.starts_with("src/engine/"));
    assert!(engine.map(|(_, text)| code(text)).any(|code| has_word(&code, "wgpu")));
}

#[test]
fn files_can_be_read_at_one_sitting() {
    let mut all = files("src", "rs");
    for (folder, ending) in
        [("tests", "rs"), ("derive", "rs"), ("examples", "rs"), ("benches", "rs"), ("shaders", "wgsl")]
    {
        all.extend(files(folder, ending));
    }
    let long: Vec<_> = all
        .iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MAX_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines, {MAX_LINES} are allowed"))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

/// Handles go between threads: a type that stops doing so does not compile here.
#[test]
fn handles_are_send_and_sync() {
    fn assert<T: Send + Sync>() {}
    assert::<lumigrad::Tensor>();
    assert::<lumigrad::Device>();
    assert::<lumigrad::Error>();
    assert::<lumigrad::nn::Parameter>();
    assert::<lumigrad::engine::Kernel>();
    assert::<lumigrad::ops::Operation>();
}

#[test]
fn comments_are_not_code() {
    assert_eq!(code("a // b\nc(\"//x\") // wgpu\n/// d\ne"), "a \nc(\"//x\") \n\ne");
    assert!(has_word("use wgpu::Buffer", "wgpu") && !has_word("let wgpus = 1", "wgpu"));
    assert!(has_word("\"x.wgsl\"", ".wgsl") && !has_word("#![deny(unsafe_code)]", "unsafe"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder with this ending, by its path from the root of the repository.
fn files(folder: &str, ending: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                let relative = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                found.insert(relative, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// The path of the shader with this text.
fn shader_of(piece: &str) -> Option<String> {
    files("shaders", "wgsl").into_iter().find(|(_, text)| text == piece).map(|(path, _)| path)
}

/// The text without its line comments.
fn code(text: &str) -> String {
    let strip = |line: &str| {
        let comment =
            line.match_indices("//").map(|(at, _)| at).find(|&at| line[..at].matches('"').count().is_multiple_of(2));
        line[..comment.unwrap_or(line.len())].to_string()
    };
    text.lines().map(strip).collect::<Vec<_>>().join("\n")
}

/// Whether `word` occurs and is no part of a longer one.
fn has_word(text: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    let (starts_inside, ends_inside) = (word.starts_with(inside), word.ends_with(inside));
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(inside) && starts_inside;
        let after = text[at + word.len()..].chars().next().is_some_and(inside) && ends_inside;
        !before && !after
    })
}

/// Whether the text is one identifier.
fn has_only_word(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

//! Names of Python functions as their users know them: dotted module and qualified name.

/// Folders below which files lie at their modules' names.
const ROOTS: [&str; 2] = ["/site-packages/", "/dist-packages/"];

/// `asyncio.tasks.sleep` for `sleep` in `/usr/lib/python3.12/asyncio/tasks.py`. Of a file elsewhere only its own name is
/// taken (`app.handler`), or its folder's if that is all it is called by (`__main__.py`). A function without file keeps
/// its name. A function in a function is named like one in a class.
pub(crate) fn dotted(file: &str, function: &str) -> String {
    let function = function.replace(".<locals>", "");
    match module(file) {
        module if module.is_empty() => function,
        module => format!("{module}.{function}"),
    }
}

fn module(file: &str) -> String {
    // `<frozen importlib._bootstrap>`, but not `<string>`.
    if let Some(frozen) = file.strip_prefix("<frozen ") {
        return frozen.trim_end_matches('>').to_owned();
    }
    if file.starts_with('<') {
        return String::new();
    }
    let mut endings = [".py", ".pyx"].into_iter();
    let path = endings
        .find_map(|ending| file.strip_suffix(ending))
        .unwrap_or(file);
    let installed = ROOTS
        .iter()
        .find_map(|root| path.rsplit_once(root).map(|(_, module)| module));
    if let Some(module) = installed.or_else(|| in_library(path)) {
        return module
            .strip_suffix("/__init__")
            .unwrap_or(module)
            .replace('/', ".");
    }
    let mut parts = path.rsplit('/');
    match parts.next() {
        Some("__init__" | "__main__") => parts.next().unwrap_or_default(),
        Some(stem) => stem,
        None => "",
    }
    .to_owned()
}

/// Behind `…/lib/python3.12/`, or its archive.
fn in_library(path: &str) -> Option<&str> {
    let (at, _) = path.rmatch_indices("/python3").next()?;
    if !path[..at].ends_with("/lib") && !path[..at].ends_with("/lib64") {
        return None;
    }
    let rest = path[at + 1..].split_once('/')?.1;
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::dotted;

    #[test]
    fn modules_are_where_python_looks_for_them() {
        for (file, function, expected) in [
            (
                "/usr/lib/python3.12/asyncio/tasks.py",
                "sleep",
                "asyncio.tasks.sleep",
            ),
            (
                "/home/u/.pyenv/versions/3.8.18/lib/python3.8/json/__init__.py",
                "dumps",
                "json.dumps",
            ),
            (
                "/venv/lib/python3.11/site-packages/starlette/routing.py",
                "Router.__call__",
                "starlette.routing.Router.__call__",
            ),
            ("/srv/shop/app.py", "handler", "app.handler"),
            ("fast.pyx", "parse", "fast.parse"),
            ("app.py", "main.<locals>.one", "app.main.one"),
            ("/srv/shop/__main__.py", "main", "shop.main"),
            (
                "<frozen importlib._bootstrap>",
                "_load",
                "importlib._bootstrap._load",
            ),
            ("<string>", "main", "main"),
            ("", "Future", "Future"),
        ] {
            assert_eq!(dotted(file, function), expected);
        }
    }
}

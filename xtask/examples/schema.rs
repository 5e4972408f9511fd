//! Writes the JSON Schemas of the documents into the directory that it is given; its test compares
//! them with those in `docs/schema`.

use std::path::{Path, PathBuf};

use countersign_breakglass::{InvocationDocument, RateLimitDocument};
use countersign_policy::PolicyDocument;
use countersign_request::ApprovalDocument;
use schemars::{Schema, schema_for};

/// Every schema with the name of its file.
fn schemas() -> [(&'static str, Schema); 4] {
    [
        ("policy.schema.json", schema_for!(PolicyDocument)),
        ("approvals.schema.json", schema_for!(ApprovalDocument)),
        ("invocation.schema.json", schema_for!(InvocationDocument)),
        ("limits.schema.json", schema_for!(RateLimitDocument)),
    ]
}

fn text(schema: &Schema) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(schema)? + "\n")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args_os()
        .nth(1)
        .map_or_else(committed, PathBuf::from);
    for (name, schema) in schemas() {
        std::fs::write(directory.join(name), text(&schema)?)?;
    }
    Ok(())
}

/// Where the project keeps them.
fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_schemas_are_those_of_the_types() {
        for (name, schema) in schemas() {
            let path = committed().join(name);
            let there = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                there == text(&schema).expect("the schema is JSON"),
                "`docs/schema/{name}` is not what the types say: run `cargo xtask fix`, which \
                 writes it anew, and look at what changed"
            );
        }
        let files = std::fs::read_dir(committed())
            .expect("docs/schema is there")
            .count();
        assert_eq!(
            files,
            schemas().len(),
            "a file in docs/schema is nobody's schema"
        );
    }
}

//! The list of cases, the functions and the table in the documentation agree.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use conformance::case_names;

const TABLE: &str = include_str!("../src/cases.md");

#[test]
fn every_case_function_is_in_the_list() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cases");
    let mut functions = BTreeSet::new();
    for file in fs::read_dir(folder).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        for line in source.lines() {
            if let Some(rest) = line.strip_prefix("pub async fn ") {
                let (name, _) = rest.split_once('<').unwrap();
                assert!(functions.insert(name.to_owned()), "{name} is there twice");
            }
        }
    }
    let listed: BTreeSet<_> = case_names().iter().copied().map(str::to_owned).collect();
    assert_eq!(functions, listed, "functions (left), list (right)");
}

#[test]
fn the_table_in_the_documentation_has_every_case_in_order() {
    let rows: Vec<_> = TABLE
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(rows, case_names());
}

#[test]
fn all_cases_of_the_python_suite_are_there() {
    // The 18 of asgiref's `ConformanceTestCase`, and the one its in-memory layer adds.
    let python = [
        "test_send_recv",
        "test_single_process_receive",
        "test_single_process_receive_error",
        "test_message_expiry",
        "test_new_channel_single_reader",
        "test_new_channel_failures",
        "test_strings",
        "test_groups",
        "test_groups_process",
        "test_group_channels",
        "test_flush",
        "test_flush_groups",
        "test_group_expiry",
        "test_capacity",
        "test_capacity_process",
        "test_capacity_group",
        "test_exceptions",
        "test_message_alteration_after_send",
        "test_group_message_eviction",
    ];
    for name in python {
        let rows = TABLE.matches(&format!("| `{name}` |")).count();
        assert_eq!(rows, 1, "{name} has one row");
    }
    assert_eq!(TABLE.matches("| `test_").count(), python.len());
}

//! D04: after a loss of power there is the old state or the new one, because each name is given after
//! the bytes behind it are on the disk.

use std::sync::Arc;

use super::Bench;
use super::double::Double;

#[test]
fn each_name_is_given_after_its_bytes_are_on_the_disk() {
    let (bench, disk) = (Bench::new(), Arc::new(Double::new()));
    bench.fetch_on(Arc::clone(&disk) as _, &|_| ()).unwrap_or_else(|error| panic!("{error}"));
    let done = disk.done.lock().expect("no panic");
    let wanted = [
        "create .partial",
        "create .partial.json.new",
        "write",
        "sync .partial.json.new",
        "rename to .partial.json",
        "sync folder",
        "write",
        "sync .partial",
        "rename to model.gguf",
        "sync folder",
        "create .verified.new",
        "write",
        "sync .verified.new",
        "rename to .verified",
        "sync folder",
    ];
    assert_eq!(*done, wanted);
}

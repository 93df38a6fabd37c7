// The commands that read symbols come with the recorder; until then only tests use this.
#[expect(dead_code, unused_imports)]
mod symbolize;

fn main() {}

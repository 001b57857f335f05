//! What a slow model beside the rules costs, and what is spared of it: the table of
//! docs/guard.md, "What a model of one's own costs".
//!
//! ```text
//! cargo run --release -p tidegate-engine --example pipeline -- ../shared/data/guard
//! ```

#[path = "pipeline/conversations.rs"]
mod conversations;
#[path = "pipeline/spared.rs"]
mod spared;
#[path = "pipeline/stage.rs"]
mod stage;
#[path = "pipeline/times.rs"]
mod times;

use std::path::Path;

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1);
    let folder = folder.unwrap_or_else(|| "../shared/data/guard".to_owned());
    times::table().await;
    conversations::table().await;
    match spared::rows(Path::new(&folder)) {
        Ok(rows) => spared::table(&rows).await,
        Err(error) => println!("\nNo table of what is spared: {folder}: {error}"),
    }
}

//! The table: every row for every ordered pair of clients.

use futures_util::StreamExt;
use std::time::Instant;

use crate::actor::{Kind, Outcome};
use crate::cells::{self, Pair, ROWS};

/// One column, run from top to bottom.
struct Column {
    sender: Kind,
    receiver: Kind,
    cells: Vec<Outcome>,
    seconds: u64,
}

/// Runs every pair that `wanted` accepts and prints the table. Returns how many cells passed and failed.
pub(crate) async fn run(wanted: impl Fn(Kind, Kind) -> bool) -> (usize, usize) {
    let pairs = Kind::ALL.into_iter().flat_map(|sender| Kind::ALL.map(|receiver| (sender, receiver)));
    let columns = pairs.filter(|(sender, receiver)| wanted(*sender, *receiver)).map(|(sender, receiver)| async move {
        let column = tokio::spawn(column(sender, receiver)).await.expect("a column reports its failures");
        println!("{:>9} to {:<9} {:>3} s", sender.name(), receiver.name(), column.seconds);
        column
    });
    // Two at a time: the actors' own work keeps as many cores busy.
    let columns: Vec<Column> = futures_util::stream::iter(columns).buffered(2).collect().await;
    print(&columns);
    let cells = || columns.iter().flat_map(|column| &column.cells);
    (cells().filter(|cell| cell.is_ok()).count(), cells().filter(|cell| cell.is_err()).count())
}

async fn column(sender: Kind, receiver: Kind) -> Column {
    let start = Instant::now();
    let mut pair = Pair::new(sender, receiver).await;
    let mut cells = Vec::new();
    let mut linked = true;
    for row in 0..ROWS.len() {
        // Who is not linked can do nothing; waiting for it in every row would only take long.
        let outcome = if linked { cells::run(row, &mut pair).await } else { Err("not linked".to_owned()) };
        linked &= outcome.is_ok() || row > 1;
        cells.push(outcome);
    }
    pair.stage.close().await;
    Column { sender, receiver, cells, seconds: start.elapsed().as_secs() }
}

fn print(columns: &[Column]) {
    let width = ROWS.iter().map(|row| row.len()).max().unwrap_or(0);
    let heading = |word: &str, client: fn(&Column) -> Kind| {
        print!("\n{word:>width$}");
        columns.iter().for_each(|column| print!(" {:>9}", client(column).name()));
    };
    heading("from", |column| column.sender);
    heading("to", |column| column.receiver);
    println!();
    for (row, name) in ROWS.iter().enumerate() {
        print!("{name:<width$}");
        for column in columns {
            print!(" {:>9}", if column.cells[row].is_ok() { "pass" } else { "FAIL" });
        }
        println!();
    }
    for column in columns {
        for (name, why) in ROWS.iter().zip(&column.cells).filter_map(|(name, cell)| Some((name, cell.as_ref().err()?)))
        {
            println!("FAIL {} to {}: {name}: {why}", column.sender.name(), column.receiver.name());
        }
    }
}

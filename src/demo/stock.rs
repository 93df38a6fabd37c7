//! The shop's database: a SQLite file with a JSON note per movement of goods, and the one query the shop asks
//! of it, which has to read them all.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags, params};

use super::BoxError;

const ITEMS: u32 = 200;
const WAREHOUSES: u32 = 8;
/// Set so that [`Warehouse::query_stock`] takes about 10 ms. It is work for the CPU: at the demo's rate more would
/// queue up on a small or busy machine, and the picture would show nothing else.
const MOVEMENTS: u32 = 50_000;

/// What is left of one item.
#[derive(Debug, PartialEq)]
pub(super) struct Stock {
    pub(super) pieces: i64,
    pub(super) warehouses: u32,
}

/// The database file and the connections to it that nobody uses just now. Dropping it deletes the file.
pub(super) struct Warehouse {
    folder: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Warehouse {
    /// Writes a new database with all its rows.
    pub(super) fn build() -> Result<Self, BoxError> {
        let folder = new_folder()?;
        let warehouse = Self {
            folder,
            idle: Mutex::default(),
        };
        warehouse.fill()?;
        Ok(warehouse)
    }

    fn fill(&self) -> Result<(), BoxError> {
        let mut db = Connection::open(self.file())?;
        db.execute_batch("CREATE TABLE movement (note TEXT NOT NULL)")?;
        let rows = db.transaction()?;
        let mut insert = rows.prepare(
            "INSERT INTO movement VALUES (json_object('item', ?1, 'warehouse', ?2, 'pieces', ?3))",
        )?;
        for n in 0..MOVEMENTS {
            // Every fourth movement takes away a part of what the three before it brought.
            let pieces = if n % 4 == 3 { -6 } else { i64::from(n % 3) + 5 };
            insert.execute(params![n / 4 % ITEMS, n / 4 / ITEMS % WAREHOUSES, pieces])?;
        }
        drop(insert);
        rows.commit()?;
        Ok(())
    }

    /// Adds up every movement of `item`: synchronous, and long enough to be no business of an async worker.
    pub(super) fn query_stock(&self, item: u32) -> Result<Stock, BoxError> {
        let db = self.connection()?;
        let stock = db
            .prepare_cached(
                "SELECT sum(pieces), count(*) FROM
                   (SELECT sum(note ->> 'pieces') AS pieces FROM movement
                    WHERE note ->> 'item' = ?1 GROUP BY note ->> 'warehouse')
                 WHERE pieces > 0",
            )?
            .query_row([item], |row| {
                Ok(Stock {
                    pieces: row.get(0)?,
                    warehouses: row.get(1)?,
                })
            })?;
        self.idle().push(db);
        Ok(stock)
    }

    /// An idle connection, or a new one if all are busy: there are never more than queries at one time.
    fn connection(&self) -> rusqlite::Result<Connection> {
        let idle = self.idle().pop();
        idle.map_or_else(
            || Connection::open_with_flags(self.file(), OpenFlags::SQLITE_OPEN_READ_ONLY),
            Ok,
        )
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("stock.sqlite")
    }
}

impl Drop for Warehouse {
    fn drop(&mut self) {
        self.idle().clear();
        // Nobody is left to tell, and the system empties its temporary folder itself.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The item that a customer's order is about.
pub(super) fn item_of(order: u64) -> u32 {
    (order % u64::from(ITEMS)) as u32
}

/// A folder of our own under the temporary one: `create_dir` fails on a name that is taken, so try the next.
fn new_folder() -> Result<PathBuf, BoxError> {
    let base = std::env::temp_dir();
    for attempt in 0..1000 {
        let folder = base.join(format!("asyncprof-demo-{}-{attempt}", std::process::id()));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("cannot create {}: {error}", folder.display()).into()),
        }
    }
    Err(format!("no free name for the demo's database in {}", base.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_left_and_leaves_no_file() {
        let warehouse = Warehouse::build().unwrap();
        let stock = warehouse.query_stock(item_of(ITEMS.into())).unwrap();
        assert_eq!(warehouse.query_stock(0).unwrap(), stock);
        assert_eq!(stock.warehouses, WAREHOUSES);
        assert!(stock.pieces > 0);
        assert_eq!(warehouse.idle().len(), 1, "the connection is used again");

        let folder = warehouse.folder.clone();
        assert!(folder.exists());
        drop(warehouse);
        assert!(!folder.exists());
    }
}

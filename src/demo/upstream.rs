//! Somebody else's price service: correct, and slow. It stands for another machine, so it is none of the
//! program's tasks: a thread per connection, and blocking calls.

use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use super::http::read_head;

/// The quickest answer; the slowest takes [`JITTER`] longer.
pub(super) const LEAST_DELAY: Duration = Duration::from_millis(35);
const JITTER: Duration = Duration::from_millis(10);

/// The price of one item.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Quote {
    pub(super) cents: u64,
}

/// Opens the service, as long as the program lives, and says where it answers; every answer takes `extra` longer
/// than usual.
pub(super) fn open(extra: Duration) -> io::Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let url = format!("http://{}", listener.local_addr()?);
    let accept = move || {
        for connection in listener.incoming().flatten() {
            // A client that goes away, or gets no thread, sees its connection closed.
            let _ = thread::Builder::new().spawn(move || answer_all(&connection, extra));
        }
    };
    thread::Builder::new().name("upstream".to_owned()).spawn(accept)?;
    Ok(url)
}

/// Answers one request after the other until the client closes the connection.
fn answer_all(mut connection: &TcpStream, extra: Duration) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut requests = BufReader::new(connection);
    while let Some(request) = read_head(&mut requests)? {
        let Some(item) = item_asked_for(&request) else {
            return connection.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
        };
        thread::sleep(delay_of(item) + extra);
        let quote = format!("{{\"cents\":{}}}", price_cents(item));
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{quote}",
            quote.len()
        );
        connection.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// 17 of `GET /quotes/17 HTTP/1.1`.
fn item_asked_for(request: &str) -> Option<u32> {
    request
        .strip_prefix("GET /quotes/")?
        .strip_suffix(" HTTP/1.1")?
        .parse()
        .ok()
}

fn price_cents(item: u32) -> u64 {
    100 + u64::from(item) * 7
}

/// The same item always takes the same time; over all items the delays spread evenly.
fn delay_of(item: u32) -> Duration {
    let spread = item.wrapping_mul(2_654_435_761) >> 16;
    LEAST_DELAY + JITTER * spread / u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_stay_between_their_bounds_and_differ() {
        let delays: Vec<_> = (0..100).map(delay_of).collect();
        assert!(
            delays
                .iter()
                .all(|delay| (LEAST_DELAY..=LEAST_DELAY + JITTER).contains(delay))
        );
        let (shortest, longest) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!(longest.saturating_sub(*shortest) > JITTER / 2);
    }

    #[test]
    fn requests() {
        assert_eq!(item_asked_for("GET /quotes/17 HTTP/1.1"), Some(17));
        assert_eq!(item_asked_for("GET /quotes/x HTTP/1.1"), None);
        assert_eq!(item_asked_for("POST /quotes/17 HTTP/1.1"), None);
    }
}

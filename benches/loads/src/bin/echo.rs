//! A TCP server and its clients, all of them tasks. `echo ROUND_TRIPS_PER_CONNECTION`

use std::net::SocketAddr;
use std::time::Instant;

use loads::{Done, Latencies, spawn};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: u64 = 32;
const MESSAGE: usize = 64;

fn main() {
    let rounds = loads::size();
    loads::run(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let server = spawn(accept(listener));
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| spawn(client(address, rounds))).collect();
        let mut latencies = Vec::new();
        for client in clients {
            latencies.extend(client.await.expect("no panic"));
        }
        server.abort();
        Done {
            operations: CONNECTIONS * rounds,
            latencies: Latencies::of(latencies),
        }
    });
}

async fn accept(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        spawn(serve(stream));
    }
}

async fn serve(mut stream: TcpStream) {
    let mut message = [0; MESSAGE];
    while stream.read_exact(&mut message).await.is_ok() && stream.write_all(&message).await.is_ok() {}
}

async fn client(address: SocketAddr, rounds: u64) -> Vec<u64> {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.set_nodelay(true).expect("a TCP stream");
    let mut message = [7; MESSAGE];
    let mut latencies = Vec::with_capacity(rounds as usize);
    for _ in 0..rounds {
        let started = Instant::now();
        stream.write_all(&message).await.expect("the server reads");
        stream.read_exact(&mut message).await.expect("the server answers");
        latencies.push(started.elapsed().as_nanos() as u64);
    }
    latencies
}

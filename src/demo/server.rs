//! A web server on a free port of loopback that can be told to finish its requests and go.

use std::io;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::BoxError;

/// A server that is up and answering.
pub(super) struct Server {
    /// Where it answers, without a slash at the end.
    pub(super) url: String,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Serves `routes` from a task of its own.
    pub(super) async fn open(routes: Router) -> Result<Self, BoxError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (stop, stopped) = oneshot::channel();
        Ok(Self {
            url,
            stop,
            serving: tokio::spawn(serve(listener, routes, stopped)),
        })
    }

    /// Takes no new request, answers those it has, and returns when the last connection is closed.
    pub(super) async fn close(self) -> Result<(), BoxError> {
        // Fails only if the server has ended already; then the task's own result says why.
        let _ = self.stop.send(());
        self.serving.await??;
        Ok(())
    }
}

async fn serve(listener: TcpListener, routes: Router, stopped: oneshot::Receiver<()>) -> io::Result<()> {
    let stopped = async {
        // A dropped sender means the same as a sent stop.
        let _ = stopped.await;
    };
    axum::serve(listener, routes)
        .with_graceful_shutdown(stopped)
        .await
}

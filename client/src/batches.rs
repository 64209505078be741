//! The streamed answer to a query.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};

use crate::{Error, Result};

/// Asks for the same answer anew.
type Again = Box<dyn FnOnce() -> BoxFuture<'static, Result<Batches>> + Send>;

/// Record batches as they arrive. Dropping it cancels the query on the server.
pub struct Batches {
    schema: SchemaRef,
    stream: BoxStream<'static, Result<RecordBatch>>,
    /// As long as nothing has been handed over.
    again: Option<Again>,
    asked: Option<BoxFuture<'static, Result<Batches>>>,
}

impl Batches {
    pub(crate) fn new(schema: SchemaRef, stream: impl Stream<Item = Result<RecordBatch>> + Send + 'static) -> Self {
        Batches { schema, stream: stream.boxed(), again: None, asked: None }
    }

    /// Where the server loses a node and says that asking again is safe, it is asked once more, unless something was handed over.
    pub(crate) fn or_again(mut self, ask: impl FnOnce() -> BoxFuture<'static, Result<Batches>> + Send + 'static) -> Self {
        self.again = Some(Box::new(ask));
        self
    }

    /// Columns of the answer, known before the first batch.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// All of it.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>> {
        // Whatever comes is kept here until all is there.
        match (self.again.take(), self.by_ref().try_collect().await) {
            (Some(again), Err(error)) if Error::again_is_safe(&error) => again().await?.try_collect().await,
            (_, collected) => collected,
        }
    }
}

impl Stream for Batches {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(asked) = &mut self.asked {
                let answer = ready!(asked.poll_unpin(cx));
                self.asked = None;
                match answer {
                    Ok(answer) if answer.schema.fields() == self.schema.fields() => self.stream = answer.stream,
                    Ok(_) => return Poll::Ready(Some(Err(Error::answer("the columns of the answer changed when it was asked for again")))),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
            let next = ready!(self.stream.poll_next_unpin(cx));
            match (next, self.again.take()) {
                (Some(Err(error)), Some(again)) if error.again_is_safe() => self.asked = Some(again()),
                (next, _) => return Poll::Ready(next),
            }
        }
    }
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batches").field("schema", &self.schema).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use futures::stream;
    use tonic::Code;

    use super::*;

    fn batch(n: i64) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![n])) as ArrayRef)]).unwrap()
    }

    fn lost() -> Error {
        Error::Query { message: "a node was lost".into(), line: None, column: None, code: Code::Unavailable }
    }

    fn batches(items: Vec<Result<RecordBatch>>) -> Batches {
        Batches::new(batch(0).schema(), stream::iter(items))
    }

    fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
        batches.iter().map(|batch| batch.column(0).as_primitive::<Int64Type>().value(0)).collect()
    }

    /// First a batch and a lost node, then two batches.
    fn twice(first: Vec<Result<RecordBatch>>) -> Batches {
        batches(first).or_again(|| async { Ok(batches(vec![Ok(batch(7)), Ok(batch(8))])) }.boxed())
    }

    #[tokio::test]
    async fn what_nobody_has_seen_is_asked_for_again_once() {
        assert_eq!(numbers(&twice(vec![Ok(batch(1)), Err(lost())]).collect().await.unwrap()), [7, 8]);
        let streamed: Vec<RecordBatch> = twice(vec![Err(lost())]).try_collect().await.unwrap();
        assert_eq!(numbers(&streamed), [7, 8]);
        let other = Error::Query { message: "no".into(), line: None, column: None, code: Code::InvalidArgument };
        assert!(twice(vec![Err(other)]).collect().await.is_err());
        let always = batches(vec![Err(lost())]).or_again(|| async { Ok(batches(vec![Err(lost())])) }.boxed());
        assert!(always.collect().await.unwrap_err().again_is_safe());
    }

    #[tokio::test]
    async fn what_was_handed_over_is_not_asked_for_again() {
        let mut streamed = twice(vec![Ok(batch(1)), Err(lost())]);
        assert_eq!(numbers(&[streamed.try_next().await.unwrap().unwrap()]), [1]);
        assert!(streamed.try_next().await.unwrap_err().again_is_safe());
        let mut streamed = twice(vec![Ok(batch(1)), Err(lost())]);
        streamed.try_next().await.unwrap();
        assert!(streamed.collect().await.is_err());
    }
}

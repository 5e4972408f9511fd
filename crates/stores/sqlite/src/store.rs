//! The stores of domain crates in the file: each is the domain crate's own store over the file's
//! engine. What is here is what only a file has: a ledger with a head, and that it can be verified.

/// Declares the store of the records of a domain crate.
macro_rules! file_store {
    ($(#[$documentation:meta])* $store:ident of $record:ident in $domain:ident) => {
        $(#[$documentation])*
        #[derive(Debug, Clone)]
        pub struct $store {
            books: crate::step::Books,
            store: $domain::EngineStore<crate::engine::FileEngine<$domain::$record>>,
        }

        impl $store {
            /// What the file keeps of them, with the default limits.
            pub fn new(
                database: &crate::Database,
                clock: std::sync::Arc<dyn $domain::Clock>,
            ) -> Self {
                Self::with_limits(database, clock, $domain::Limits::default())
            }

            /// The same with other limits. Limits hold for what is created; they are not kept in
            /// the file.
            pub fn with_limits(
                database: &crate::Database,
                clock: std::sync::Arc<dyn $domain::Clock>,
                limits: $domain::Limits,
            ) -> Self {
                let ledger = <$domain::$record as crate::records::Rows>::LEDGER;
                let tolerance = countersign_core::time::CLOCK_TOLERANCE;
                let books = crate::step::Books::new(database, ledger, clock, tolerance);
                Self::over(books, limits)
            }

            /// The same store with another tolerance: how far a reading of the clock may lie behind
            /// the last before the clock counts as corrected. 60 seconds unless set; the same in
            /// every process.
            #[must_use]
            pub fn with_clock_tolerance(self, tolerance: std::time::Duration) -> Self {
                let limits = self.store.limits().clone();
                Self::over(self.books.with_clock_tolerance(tolerance), limits)
            }

            fn over(books: crate::step::Books, limits: $domain::Limits) -> Self {
                let engine = crate::engine::FileEngine::over(books.clone());
                let store = $domain::EngineStore::over(engine).with_limits(limits);
                Self { books, store }
            }

            /// How far the store's versions are ahead of its clock, and the last correction of the
            /// clock.
            ///
            /// # Errors
            /// `Error::Backend` if the engine fails.
            pub async fn health(&self) -> Result<$domain::Health, $domain::Error> {
                self.books.health().await
            }

            /// The head of the ledger: note it where those who can write the file cannot.
            ///
            /// # Errors
            /// `Error::Backend` if the engine fails.
            pub async fn head(&self) -> Result<crate::Head, $domain::Error> {
                self.books.head().await
            }

            /// Whether the file is still what this store has written, and whether its ledger has
            /// the head that was `known`, if one is given: the engine's checks, the schema, the
            /// ledger, every entry of every history, and the columns that follow from them.
            ///
            /// - Without a head that was noted elsewhere it finds whatever does not agree with the
            ///   rest of the file. Whoever can write the file can also write all of it anew, which
            ///   only such a head shows, and only of what came before it.
            /// - It walks over everything, on a thread that reads; writers go on meanwhile.
            /// - Damage to the file is not an error but a finding, which
            ///   [`Report::findings`](crate::Report) tells.
            ///
            /// # Errors
            /// `Error::Backend` if the engine fails.
            pub async fn verify(
                &self,
                known: Option<&crate::Head>,
            ) -> Result<crate::Report, $domain::Error> {
                let known = known.copied();
                let read = move |connection: &rusqlite::Connection| {
                    let chained = crate::check::chained::<$domain::$record>();
                    Ok(crate::verify::verify(connection, &chained, known.as_ref())?)
                };
                self.books.read_long(read).await
            }
        }

        impl $domain::OverEngine for $store {
            type Engine = crate::engine::FileEngine<$domain::$record>;

            fn engine_store(&self) -> &$domain::EngineStore<Self::Engine> {
                &self.store
            }
        }
    };
}

pub(crate) use file_store;

//! Ids and words: what identifies a request.

countersign_core::define_id! {
    /// The id of a request: 64 random bits, shown as 16 lowercase hexadecimal digits.
    ///
    /// ```
    /// use countersign_request::RequestId;
    ///
    /// let id: RequestId = "0c495841982c3107".parse()?;
    /// assert_eq!(id.to_string(), "0c495841982c3107");
    /// # Ok::<(), countersign_request::ParseIdError>(())
    /// ```
    RequestId
}

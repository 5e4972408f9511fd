//! Each rule of time one nanosecond before and after it changes its answer.

use proptest::prelude::*;

use super::*;

const NANOSECOND: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

fn nine() -> DateTime<Utc> {
    "2026-03-02T09:00:00Z".parse().unwrap()
}

/// A store's memory of time, and the writer that asks it.
#[derive(Debug, Default)]
struct Bench(Timeline);

impl Bench {
    fn at(reading: DateTime<Utc>) -> Self {
        let mut bench = Self::default();
        bench.write(reading);
        bench
    }

    fn now(&self, reading: DateTime<Utc>) -> Now {
        self.0.now(reading, Writer::ONLY, MINUTE)
    }

    fn write(&mut self, reading: DateTime<Utc>) -> Stamp {
        self.write_as(reading, Writer::ONLY)
    }

    fn write_as(&mut self, reading: DateTime<Utc>, writer: Writer) -> Stamp {
        let now = self.0.now(reading, writer, MINUTE);
        self.0.stamp(&now).unwrap()
    }
}

#[test]
fn time_stands_still_within_the_tolerance_and_is_corrected_beyond_it() {
    let bench = Bench::at(nine());
    for (behind, at, corrects) in [
        (Duration::ZERO, nine(), false),
        (NANOSECOND, nine(), false),
        (MINUTE, nine(), false),
        (MINUTE + NANOSECOND, nine() - MINUTE - NANOSECOND, true),
        (HOUR, nine() - HOUR, true),
    ] {
        let now = bench.now(nine() - behind);
        assert_eq!(now.at(), at, "{behind:?} behind");
        assert_eq!(now.makes_correction().is_some(), corrects, "{behind:?}");
        assert_eq!(now.granting(), Ok(()), "{behind:?} behind");
    }
    let ahead = bench.now(nine() + NANOSECOND);
    assert_eq!(
        (ahead.at(), ahead.correction()),
        (nine() + NANOSECOND, None)
    );
}

#[test]
fn a_correction_takes_one_version_and_the_step_the_next() {
    let mut bench = Bench::at(nine());
    let last = bench.0.version().unwrap().as_nanos();
    let to = nine() - HOUR;
    let now = bench.now(to);
    let [first, second] = [(); 2].map(|()| bench.0.stamp(&now).unwrap());
    let made = bench.0.correction().unwrap();
    assert_eq!(
        [made.version, first.version, second.version].map(Version::as_nanos),
        [last + 1, last + 2, last + 3]
    );
    assert_eq!((made.from, made.to, made.latest), (nine(), to, nine()));
    // Corrected once: the next step at that time corrects nothing.
    assert_eq!(bench.now(to).makes_correction(), None);
    assert_eq!(bench.now(to).correction(), Some(made));
}

#[test]
fn the_latest_time_before_any_correction_is_kept_over_the_next() {
    let mut bench = Bench::at(nine() + YEAR);
    bench.write(nine());
    bench.write(nine() + HOUR);
    bench.write(nine());
    let made = bench.0.correction().unwrap();
    assert_eq!((made.from, made.latest), (nine() + HOUR, nine() + YEAR));
    assert!(bench.now(nine() + YEAR - NANOSECOND).some_is_ahead());
    assert!(!bench.now(nine() + YEAR).some_is_ahead());
}

#[test]
fn what_is_dated_ahead_counts_from_the_correction_and_only_while_it_is_ahead() {
    let dated = nine() + 8 * HOUR;
    let mut bench = Bench::at(dated);
    bench.write(nine());
    let later = bench.now(nine() + HOUR);
    assert_eq!(later.moment(dated), nine());
    assert_eq!(later.moment(nine() - HOUR), nine() - HOUR, "not ahead");
    let before = bench.now(dated - NANOSECOND);
    assert!(before.is_ahead(dated));
    assert_eq!(before.moment(dated), nine());
    let at = bench.now(dated);
    assert!(!at.is_ahead(dated));
    assert_eq!(at.moment(dated), dated);
}

#[test]
fn a_wait_counts_from_the_correction_for_good() {
    let dated = nine() + 8 * HOUR;
    let mut bench = Bench::default();
    let version = bench.write(dated).version;
    let right = bench.write(nine()).version;
    for at in [nine(), dated - NANOSECOND, dated, dated + 24 * HOUR] {
        let now = bench.now(at);
        assert_eq!(now.moment_of(dated, version), nine(), "at {at}");
        let earlier = nine() - NANOSECOND;
        assert_eq!(now.moment_of(earlier, version), earlier, "it was right");
        assert_eq!(now.moment_of(dated, right), dated, "written since");
    }
}

#[test]
fn what_a_step_that_writes_nothing_finds_out_is_remembered_and_nothing_else() {
    let mut bench = Bench::at(nine() + HOUR);
    let before = bench.0;
    for reading in [nine() + 2 * HOUR, nine() + HOUR - MINUTE, LATEST + SECOND] {
        let now = bench.now(reading);
        bench.0.notice(&now);
        assert_eq!(bench.0, before, "{reading}");
    }
    // A correction is made by whoever finds it, once, and does not begin anew.
    let now = bench.now(nine());
    bench.0.notice(&now);
    bench.0.notice(&now);
    let made = bench.0.correction().unwrap();
    assert_eq!((made.to, bench.0.version()), (nine(), Some(made.version)));
    let later = bench.now(nine() + MINUTE);
    assert_eq!(
        (later.correction(), later.makes_correction()),
        (Some(made), None)
    );
    // So is a jump.
    let landed = nine() + YEAR;
    let now = bench.now(landed);
    bench.0.notice(&now);
    assert_eq!(bench.now(landed + HOUR).deletes_from(), None);
    assert!(
        bench
            .now(landed + HOUR - NANOSECOND)
            .deletes_from()
            .is_some()
    );
}

#[test]
fn deletion_goes_on_an_hour_after_the_correction_of_a_jump() {
    let mut bench = Bench::at(nine());
    bench.write(nine() + 4 * YEAR);
    bench.write(nine());
    assert!(
        bench
            .now(nine() + HOUR - NANOSECOND)
            .deletes_from()
            .is_some()
    );
    assert_eq!(bench.now(nine() + HOUR).deletes_from(), None);
}

#[test]
fn access_is_in_force_from_its_first_nanosecond_to_its_last() {
    let version = Version::from_nanos(0);
    let in_force = |at| Now::at_given(at).in_force(nine(), version, nine() + HOUR);
    assert!(!in_force(nine() - NANOSECOND));
    assert!(in_force(nine()));
    assert!(in_force(nine() + HOUR - NANOSECOND));
    assert!(!in_force(nine() + HOUR));
}

#[test]
fn access_dated_ahead_ends_for_good_once_the_correction_has_stood_for_an_hour() {
    for ahead in [HOUR + NANOSECOND, 8 * HOUR, 4 * YEAR] {
        let from = nine() + ahead;
        let mut bench = Bench::default();
        let version = bench.write(from).version;
        bench.write(nine());
        let until = from + 10 * YEAR;
        let in_force = |bench: &Bench, at| bench.now(at).in_force(from, version, until);
        for at in [nine(), nine() + HOUR - NANOSECOND] {
            assert!(!bench.now(at).is_void(from, version), "{ahead:?}, {at}");
            assert!(!in_force(&bench, at), "{ahead:?}, {at}");
        }
        for at in [nine() + HOUR, from - NANOSECOND, from, from + HOUR] {
            assert!(bench.now(at).is_void(from, version), "{ahead:?}, {at}");
            assert!(!in_force(&bench, at), "{ahead:?}, {at}");
        }
        // What is granted after the correction is not meant, whatever it is dated.
        let granted = bench.write(from + SECOND);
        assert!(granted.now.in_force(from + SECOND, granted.version, until));
    }
}

#[test]
fn what_a_correction_has_ended_for_good_stays_ended_whatever_is_corrected_later() {
    let from = nine() + 8 * HOUR;
    for (last, next) in [
        // Before it would begin, while it would last, and before the hour was over.
        (from - 15 * MINUTE, from - 30 * MINUTE),
        (from + 45 * MINUTE, from + 30 * MINUTE),
        (nine() + HOUR, nine() + 2 * MINUTE),
    ] {
        let mut bench = Bench::default();
        let version = bench.write(from).version;
        bench.write(nine());
        bench.write(last);
        bench.write(next);
        let right = bench.write(next + SECOND);
        for at in [from, from + HOUR] {
            let now = bench.now(at);
            assert!(now.is_void(from, version), "{last}, {next}, {at}");
            assert!(!now.in_force(from, version, from + 10 * YEAR));
            assert!(!now.is_void(right.now.at(), right.version), "{at}");
        }
        let kept = bench.0;
        let first = Correction {
            version: Version::from_nanos(version.as_nanos() + 1),
            from,
            to: nine(),
            latest: from,
            by: Writer::ONLY,
            of: Writer::ONLY,
        };
        let all = [first, kept.correction().unwrap()];
        let read = Timeline::after(kept.version().unwrap(), next + SECOND, Writer::ONLY);
        assert_eq!(read.with_corrections(all), kept, "as an engine reads it");
    }
}

#[test]
fn what_was_granted_after_a_correction_is_ended_by_none_before_it() {
    // Ten times a day: an hour ahead, corrected, an hour of right time.
    let mut bench = Bench::default();
    let (mut wrong, mut right) = (Vec::new(), Vec::new());
    for round in 0..10 {
        let time = nine() + round * 2 * HOUR;
        right.push((time, bench.write(time).version));
        let ahead = time + 24 * HOUR;
        wrong.push((ahead, bench.write(ahead).version));
        bench.write(time + MINUTE);
        bench.write(time + HOUR + MINUTE);
    }
    let now = bench.now(nine() + 19 * HOUR + MINUTE);
    for (from, version) in wrong {
        assert!(now.is_void(from, version), "{from}");
    }
    // The oldest six are taken for one; what came since is right.
    for (from, version) in &right[6..] {
        assert!(!now.is_void(*from, *version), "{from}");
    }
}

#[test]
fn access_that_the_clock_catches_up_with_before_the_hour_is_in_force_then() {
    let from = nine() + HOUR;
    let mut bench = Bench::default();
    let version = bench.write(from).version;
    bench.write(nine());
    let in_force = |at| bench.now(at).in_force(from, version, from + HOUR);
    assert!(!in_force(from - NANOSECOND));
    assert!(in_force(from));
}

#[test]
fn a_reading_that_is_no_time_moves_nothing() {
    let mut bench = Bench::at(nine());
    for reading in [
        DateTime::UNIX_EPOCH,
        EARLIEST - NANOSECOND,
        LATEST + NANOSECOND,
        DateTime::<Utc>::MAX_UTC,
        DateTime::<Utc>::MIN_UTC,
    ] {
        let before = bench.0;
        let stamp = bench.write(reading);
        let doubt = Err(ClockError::Implausible { reading });
        assert_eq!(stamp.now.granting(), doubt, "{reading}");
        assert_eq!(stamp.now.at(), nine(), "{reading}");
        assert_eq!(
            stamp.version.as_nanos(),
            before.version().unwrap().as_nanos() + 1,
            "{reading}"
        );
        assert_eq!(bench.0.correction(), None, "{reading}");
        assert_eq!(bench.0.last_at(), Some(nine()), "{reading}");
    }
    assert_eq!(bench.now(nine() + SECOND).granting(), Ok(()));
    assert_eq!(bench.now(nine() + SECOND).at(), nine() + SECOND);
}

#[test]
fn two_writers_three_and_ten_minutes_apart_correct_each_other_once() {
    let [right, fast] = [1, 2].map(Writer::from_bits);
    for ahead in [3 * MINUTE, 10 * MINUTE] {
        let mut bench = Bench::default();
        bench.write_as(nine(), right);
        let leap = bench.write_as(nine() + ahead, fast);
        assert_eq!(leap.now.at(), nine() + ahead, "nobody can know it yet");
        // The right one corrects the fast one, and judges by its own clock.
        let corrected = bench.write_as(nine() + SECOND, right);
        assert_eq!(corrected.now.at(), nine() + SECOND);
        let made = bench.0.correction().unwrap();
        assert_eq!((made.by, made.of), (right, fast));
        // From now on the fast one grants nothing, and outruns nobody.
        for _ in 0..3 {
            let refused = bench.write_as(nine() + ahead + SECOND, fast);
            let (reading, last) = (nine() + ahead + SECOND, nine() + SECOND);
            assert_eq!(
                refused.now.granting(),
                Err(ClockError::Corrected { reading, last })
            );
            assert_eq!(refused.now.at(), last);
            assert_eq!(
                bench.write_as(nine() + SECOND, right).now.granting(),
                Ok(())
            );
        }
        assert_eq!(bench.0.correction(), Some(made), "one correction");
        // Its clock agrees again, or steps back, or it is opened again.
        let agrees = bench.0.now(nine() + SECOND + MINUTE, fast, MINUTE);
        assert_eq!(agrees.granting(), Ok(()));
        let disagrees = bench
            .0
            .now(nine() + SECOND + MINUTE + NANOSECOND, fast, MINUTE);
        assert!(disagrees.granting().is_err());
        let trusted = bench.0.trusting(fast).now(nine() + HOUR, fast, MINUTE);
        assert_eq!(trusted.granting(), Ok(()));
        let opened_again = bench.0.now(nine() + ahead, Writer::from_bits(3), MINUTE);
        assert_eq!(opened_again.granting(), Ok(()));
    }
}

#[test]
fn each_of_several_writers_that_are_ahead_is_corrected_once() {
    let [right, fast, faster, other, fifth, last] = [1, 2, 3, 4, 5, 6].map(Writer::from_bits);
    for all in [&[fast, faster][..], &[fast, faster, other, fifth]] {
        let mut bench = Bench::default();
        let (mut granted, mut corrections) = (0, 0);
        for round in 0..20 {
            let now = nine() + round * SECOND;
            for writer in all {
                let ahead = bench.write_as(now + 10 * MINUTE, *writer);
                granted += u32::from(ahead.now.granting().is_ok());
                let found = bench.write_as(now, right).now.makes_correction();
                corrections += usize::from(found.is_some());
            }
        }
        let count = all.len();
        assert_eq!((granted as usize, corrections), (count, count));
        assert!(
            all.iter()
                .all(|writer| bench.0.corrected_at(*writer).is_some())
        );
        // Read from a ledger it is the same, and who is trusted again is that one alone.
        let trusted = bench.0.trusting(faster);
        assert_eq!(trusted.corrected_at(faster), None);
        assert_eq!(trusted.corrected_at(fast), bench.0.corrected_at(fast));
        // There is room for four: the one that was found longest ago is forgotten then.
        bench.write_as(nine() + HOUR, last);
        bench.write_as(nine() + MINUTE, right);
        assert!(bench.0.corrected_at(last).is_some());
        assert_eq!(bench.0.corrected_at(fast).is_none(), count == 4);
    }
}

#[test]
fn whoever_corrects_another_is_trusted_again() {
    let [one, two] = [1, 2].map(Writer::from_bits);
    let mut bench = Bench::default();
    bench.write_as(nine() + HOUR, one);
    bench.write_as(nine(), two);
    assert!(bench.0.corrected_at(one).is_some());
    bench.write_as(nine() + 2 * HOUR, two);
    bench.write_as(nine() + MINUTE, one);
    assert_eq!(bench.0.corrected_at(one), None);
    assert_eq!(
        bench.0.corrected_at(two),
        bench.0.correction().map(|made| made.version)
    );
    // Nor does it count against a writer that it has found its own clock to be ahead.
    bench.write_as(nine() + 9 * HOUR, one);
    bench.write_as(nine() + 2 * MINUTE, one);
    assert_eq!(bench.0.corrected_at(one), None);
    assert!(bench.0.corrected_at(two).is_some());
}

#[test]
fn a_correction_before_the_last_ended_what_was_later_than_its_hour_if_it_stood_for_one() {
    let correction = |version: i64, from: DateTime<Utc>, to: DateTime<Utc>| Correction {
        version: Version::from_nanos(version),
        from,
        to,
        latest: nine() + 9 * HOUR,
        by: Writer::ONLY,
        of: Writer::ONLY,
    };
    let hour = nine() + HOUR;
    for (stood_until, stood) in [(hour - NANOSECOND, false), (hour, true)] {
        let corrections = [
            correction(10, nine() + 9 * HOUR, nine()),
            correction(20, stood_until, nine() + HOUR / 2),
        ];
        let timeline = Timeline::after(Version::from_nanos(30), hour, Writer::ONLY);
        let timeline = timeline.with_corrections(corrections);
        let now = timeline.now(hour, Writer::ONLY, MINUTE);
        for (from, later) in [(hour, false), (hour + NANOSECOND, true)] {
            for (version, before) in [(9, true), (10, false), (11, false)] {
                assert_eq!(
                    now.is_void(from, Version::from_nanos(version)),
                    stood && later && before,
                    "stood until {stood_until}, from {from}, version {version}"
                );
            }
        }
    }
}

#[test]
fn two_writers_within_the_tolerance_do_not_correct_each_other() {
    let [one, two] = [1, 2].map(Writer::from_bits);
    let mut bench = Bench::default();
    for round in 0..10 {
        let time = nine() + round * SECOND;
        bench.write_as(time + MINUTE, one);
        let other = bench.write_as(time, two);
        assert_eq!(other.now.at(), time + MINUTE, "time stands still");
    }
    assert_eq!(bench.0.correction(), None);
}

#[test]
fn a_writer_that_steps_back_itself_is_corrected_and_goes_on() {
    let mut bench = Bench::at(nine() + HOUR);
    for round in 0..3 {
        let now = bench.write(nine() - round * 2 * MINUTE).now;
        assert_eq!(
            now.granting(),
            Ok(()),
            "its own clock was set, as often as it is"
        );
    }
}

#[test]
fn deletion_waits_for_an_hour_after_a_jump_of_more_than_a_day() {
    for (length, waits) in [(JUMP, false), (JUMP + NANOSECOND, true), (YEAR, true)] {
        let mut bench = Bench::at(nine());
        let landed = nine() + length;
        let settled = landed + HOUR;
        let wait = |bench: &Bench, at| bench.now(at).deletes_from();
        let expected = waits.then_some(settled);
        assert_eq!(
            wait(&bench, landed),
            expected,
            "{length:?}, in the step itself"
        );
        bench.write(landed);
        assert_eq!(wait(&bench, settled - NANOSECOND), expected, "{length:?}");
        assert_eq!(wait(&bench, settled), None, "{length:?}");
        // Corrected, it still waits: what looked old was not. An hour, and not until the jump.
        let to = nine() + MINUTE;
        bench.write(to);
        let expected = waits.then_some(to + HOUR);
        assert_eq!(wait(&bench, to + HOUR - NANOSECOND), expected, "{length:?}");
        assert_eq!(wait(&bench, to + HOUR), None, "{length:?}");
    }
}

#[test]
fn the_health_of_a_clock_is_how_far_versions_are_ahead_of_it() {
    let mut bench = Bench::at(nine() + 4 * YEAR);
    bench.write(nine());
    let ahead = bench.0.health(nine()).versions_ahead;
    assert_eq!(ahead, 4 * YEAR + 2 * NANOSECOND);
    assert_eq!(
        bench.0.health(nine() + 5 * YEAR).versions_ahead,
        Duration::ZERO
    );
    assert_eq!(
        Timeline::new().health(nine()).versions_ahead,
        Duration::ZERO
    );
}

#[test]
fn the_last_version_there_is_is_an_error_and_remembers_nothing() {
    let last = Version::from_nanos(i64::MAX);
    let mut timeline = Timeline::after(last, nine(), Writer::ONLY);
    let before = timeline;
    let now = timeline.now(nine(), Writer::ONLY, MINUTE);
    assert_eq!(timeline.stamp(&now), Err(ClockError::Exhausted { last }));
    assert_eq!(timeline, before);
}

proptest! {
    /// Whatever the clocks of two writers do, versions grow strictly, a version is left for
    /// longer than anybody lives, and the time is one that can be right.
    #[test]
    fn versions_grow_and_times_are_plausible_whatever_the_clocks_do(
        readings in prop::collection::vec((any::<i64>(), 0_u64..2, any::<bool>()), 1..100),
    ) {
        let mut bench = Bench::default();
        let mut last = None;
        let base = nine().timestamp_nanos_opt().unwrap();
        for (nanos, writer, near) in readings {
            // Half of them within some hours of each other.
            let nanos = if near { base + nanos % 20_000_000_000_000 } else { nanos };
            let reading = DateTime::from_timestamp_nanos(nanos);
            let stamp = bench.write_as(reading, Writer::from_bits(writer));
            prop_assert!(Some(stamp.version) > last, "{:?} after {last:?}", stamp.version);
            prop_assert!((EARLIEST..=LATEST).contains(&stamp.now.at()));
            let ordinary = LATEST.timestamp_nanos_opt().unwrap() + 300;
            prop_assert!(stamp.version.as_nanos() < ordinary);
            last = Some(stamp.version);
        }
    }
}

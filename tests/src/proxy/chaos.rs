//! A seeded script of troubles: the same seed spoils the same requests, if they come in the same order.

use std::time::Duration;

use super::action::{Action, Answer, Request, Service};

/// How many of a thousand requests meet which trouble.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// 503 SlowDown, or a throttled PutRecords.
    pub throttle: u32,
    /// 500 InternalError.
    pub fail: u32,
    /// The connection breaks before the emulator sees the request.
    pub break_before: u32,
    /// The connection breaks after the emulator did it.
    pub break_after: u32,
    /// The answer's body breaks off.
    pub truncate: u32,
    /// Some milliseconds of delay.
    pub delay: u32,
    /// PutRecords: about half of the entries fail.
    pub entries: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            throttle: 40,
            fail: 20,
            break_before: 20,
            break_after: 20,
            truncate: 20,
            delay: 50,
            entries: 100,
        }
    }
}

/// The script. Give it to [`Proxy::script`](super::Proxy::script) as `move |request| chaos.decide(request)`.
#[derive(Debug)]
pub struct Chaos {
    state: u64,
    rates: Rates,
}

impl Chaos {
    /// Troubles by this seed. Print the seed.
    pub fn new(seed: u64, rates: Rates) -> Self {
        Self { state: seed, rates }
    }

    /// What becomes of this request. STS is left alone: its troubles have tests of their own.
    pub fn decide(&mut self, request: &Request) -> Action {
        let (dice, detail) = (self.next() % 1000, self.next());
        if !matches!(request.service, Service::S3 | Service::Kinesis) {
            return Action::Forward;
        }
        let rates = self.rates;
        let troubles = [
            (rates.throttle, 0),
            (rates.fail, 1),
            (rates.break_before, 2),
            (rates.break_after, 3),
            (rates.truncate, 4),
            (rates.delay, 5),
            (rates.entries, 6),
        ];
        let mut below = 0;
        for (rate, trouble) in troubles {
            below += u64::from(rate);
            if dice < below {
                return self.trouble(trouble, detail, request);
            }
        }
        Action::Forward
    }

    fn trouble(&mut self, trouble: u32, detail: u64, request: &Request) -> Action {
        let kinesis = request.service == Service::Kinesis;
        match trouble {
            0 if kinesis => Action::Answer(Answer::json(400, "ProvisionedThroughputExceededException")),
            0 => Action::Answer(Answer::slow_down()),
            1 if kinesis => Action::Answer(Answer::json(500, "InternalFailure")),
            1 => Action::Answer(Answer::s3(500, "InternalError")),
            2 => Action::BreakBefore,
            3 => Action::BreakAfter,
            4 => Action::Truncate(detail % 4096),
            5 => Action::Delay(Duration::from_millis(detail % 30)),
            _ if request.operation == "PutRecords" => {
                let entries = (0..500).filter(|_| self.next().is_multiple_of(2)).collect();
                Action::FailEntries(entries, "ProvisionedThroughputExceededException")
            }
            _ => Action::Forward,
        }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

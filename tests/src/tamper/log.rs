//! Tampering with log files.

use std::fs;

use anyhow::{Context as _, Result, bail};

use super::{Act, Effect, Tamperer, Verdict, effect};
use crate::digests::{object_path, store};
use crate::org::{Account, Carries};
use crate::records::{Family, Kind, Record, Scene, make};
use crate::reread;
use crate::rng::Rng;
use crate::time::window_end;
use crate::truth::{Content, Object, Run, Sha};

impl Tamperer<'_> {
    pub(super) fn change_log(&mut self) -> Result<Vec<Effect>> {
        let root = self.root;
        let number = self.victims(1)?.into_iter().next().context("no victim")?;
        let like = self.object(number)?.clone();
        let (changed, records) = self.altered(&like)?;
        let size = store(root, &like.bucket, &like.key, changed.as_bytes())?;
        let object = self.object(number)?;
        object.records = records;
        (object.size, object.raw_size) = (size, changed.len() as u64);
        object.sha256 = Some(Sha::of(changed.as_bytes()));
        Ok(touched(object, Act::ChangeLog, Verdict::Mismatch))
    }

    /// The text of a log whose first record has the same id and other content, and its records.
    pub(super) fn altered(&mut self, object: &Object) -> Result<(String, Vec<Run>)> {
        let inflated = String::from_utf8(reread::inflated(self.root, object)?)?;
        let changed = inflated.replacen("\"awsRegion\":\"", "\"awsRegion\":\"x", 1);
        let first = reread::records(changed.as_bytes())?.into_iter().next().context("an empty log")?;
        let mut records = object.records.clone();
        let run = records.first_mut().context("an empty log")?;
        let original =
            self.truth.contents.get(usize::try_from(run.content())?).context("no content")?.clone();
        *run = Run::One(self.add_content(Content { sha256: Sha::of(&first), ..original }));
        Ok((changed, records))
    }

    pub(super) fn delete_log(&mut self) -> Result<Vec<Effect>> {
        let root = self.root;
        let number = self.victims(1)?.into_iter().next().context("no victim")?;
        let object = self.object(number)?;
        fs::remove_file(object_path(root, &object.bucket, &object.key))?;
        object.records.clear();
        (object.size, object.raw_size, object.sha256) = (0, 0, None);
        Ok(touched(object, Act::DeleteLog, Verdict::Missing))
    }

    /// Cut within the gzip trailer: everything inflates, so every record is there, and none is sure.
    pub(super) fn truncate_log(&mut self) -> Result<Vec<Effect>> {
        let root = self.root;
        let number = self.victims(1)?.into_iter().next().context("no victim")?;
        let object = self.object(number)?;
        let path = object_path(root, &object.bucket, &object.key);
        let mut stored = fs::read(&path)?;
        stored.truncate(stored.len().saturating_sub(4));
        fs::write(&path, &stored)?;
        object.doubtful = std::mem::take(&mut object.records);
        (object.size, object.sha256) = (stored.len() as u64, None);
        Ok(touched(object, Act::TruncateLog, Verdict::Mismatch))
    }

    pub(super) fn append_to_log(&mut self) -> Result<Vec<Effect>> {
        let root = self.root;
        let number = self.victims(1)?.into_iter().next().context("no victim")?;
        let object = self.object(number)?;
        let path = object_path(root, &object.bucket, &object.key);
        let stored = [fs::read(&path)?, b"more".to_vec()].concat();
        fs::write(&path, &stored)?;
        (object.size, object.sha256) = (stored.len() as u64, None);
        Ok(touched(object, Act::AppendToLog, Verdict::Mismatch))
    }

    pub(super) fn swap_logs(&mut self) -> Result<Vec<Effect>> {
        let root = self.root;
        let numbers = self.victims(2)?;
        let [one, two] = numbers.as_slice() else { bail!("no two victims") };
        let (first, second) = (self.object(*one)?.clone(), self.object(*two)?.clone());
        let (here, there) =
            (object_path(root, &first.bucket, &first.key), object_path(root, &second.bucket, &second.key));
        let (bytes, others) = (fs::read(&here)?, fs::read(&there)?);
        fs::write(here, others)?;
        fs::write(there, bytes)?;
        let mut effects = Vec::new();
        for (number, like) in [(*one, &second), (*two, &first)] {
            let object = self.object(number)?;
            object.records.clone_from(&like.records);
            (object.size, object.raw_size, object.sha256) = (like.size, like.raw_size, like.sha256);
            effects.extend(touched(object, Act::SwapLogs, Verdict::Mismatch));
        }
        Ok(effects)
    }

    /// The records are still there, under a name that no digest knows.
    pub(super) fn move_log(&mut self) -> Result<Vec<Effect>> {
        let root = self.root;
        let number = self.victims(1)?.into_iter().next().context("no victim")?;
        let object = self.object(number)?;
        let mut effects = touched(object, Act::MoveLog, Verdict::Missing);
        let from = object_path(root, &object.bucket, &object.key);
        let stem = object.key.rsplit_once('_').map_or("", |(stem, _)| stem);
        object.key = format!("{stem}_movedAway0000000.json.gz");
        fs::rename(from, object_path(root, &object.bucket, &object.key))?;
        effects.push(effect(&object.bucket, &object.key, Verdict::Extra));
        Ok(effects)
    }

    pub(super) fn plant_log(&mut self) -> Result<Vec<Effect>> {
        let number = self.victims(1)?.into_iter().next().context("no victim")?;
        let like = self.object(number)?.clone();
        let stem = like.key.rsplit_once('_').map_or("", |(stem, _)| stem);
        let key = format!("{stem}_planted000000000.json.gz");
        let effects = vec![effect(&like.bucket, &key, Verdict::Extra)];
        self.plant(Object { key, ..like }, Act::PlantLog, true)?;
        Ok(effects)
    }

    pub(super) fn plant_account(&mut self) -> Result<Vec<Effect>> {
        let organization = self.truth.head.organization.clone();
        let member = organization.trails.iter().find(|trail| trail.carries == Carries::Owner);
        let trail = member.context("no member has a trail of its own")?;
        let foreign = organization.accounts.iter().copied().find(|account| *account != trail.owner);
        let account = foreign.unwrap_or(organization.stranger());
        let like =
            self.truth.objects.iter().find(|o| o.bucket == trail.bucket && o.family == Family::CloudTrail);
        let like = like.context("the member's bucket is empty")?.clone();
        let stamp = window_end(like.delivered);
        let key = trail.log_key(account, Family::CloudTrail, &like.region, stamp, "planted000000000");
        let effects = vec![effect(&like.bucket, &key, Verdict::Foreign)];
        self.plant(Object { key, account, ..like }, Act::PlantAccount, false)?;
        Ok(effects)
    }

    /// Writes three fresh records where `like` says. `taken`: a haul that ships at once takes them.
    fn plant(&mut self, like: Object, act: Act, taken: bool) -> Result<()> {
        let mut rng = Rng::fork(self.truth.head.options.seed, act.name());
        let (mut texts, mut records) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let record = self.fresh(like.account, &like.region, like.delivered - 120, &mut rng)?;
            let sha256 = Sha::of(record.text.as_bytes());
            let (account, id, time) = (record.account, record.id, record.time);
            records.push(Run::One(self.add_content(Content { number: 0, account, id, sha256, time })));
            texts.push(record.text);
        }
        let (before, after) = like.family.brackets();
        let inflated = format!("{before}{}{after}", texts.join(","));
        let size = store(self.root, &like.bucket, &like.key, inflated.as_bytes())?;
        self.truth.objects.push(Object {
            number: self.truth.objects.len() as u64,
            trail: None,
            size,
            raw_size: inflated.len() as u64,
            sha256: Some(Sha::of(inflated.as_bytes())),
            records: if taken { records } else { Vec::new() },
            doubtful: Vec::new(),
            damage: None,
            tampered: vec![act.name().to_owned()],
            ..like
        });
        Ok(())
    }

    fn fresh(&self, account: Account, region: &str, time: i64, rng: &mut Rng) -> Result<Record> {
        let organization = self.truth.head.organization.id.as_str();
        let scene = Scene { account, other: account, organization, region, time };
        make(Kind::Call, &scene, rng).into_iter().next().context("no record")
    }

    fn add_content(&mut self, content: Content) -> u64 {
        let number = self.truth.contents.len() as u64;
        self.truth.contents.push(Content { number, ..content });
        number
    }
}

fn touched(object: &mut Object, act: Act, verdict: Verdict) -> Vec<Effect> {
    object.tampered.push(act.name().to_owned());
    vec![effect(&object.bucket, &object.key, verdict)]
}

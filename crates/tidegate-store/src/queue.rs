//! Entries that wait to be taken, each by one holder at a time.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::error::StoreError;

/// Entries that may follow one and the same entry: all of them move when it
/// ends, in one step.
pub const MOST_FOLLOWERS: usize = 1_000;
/// Ranks that there are.
pub const RANKS: u8 = 8;
/// One of so many entries that are taken is the oldest, whatever its rank.
pub const OLDEST_EVERY: u64 = 16;

/// Which entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName {
    /// Whose it is; entries of different owners never meet.
    pub owner: String,
    /// Unique among those of its owner.
    pub id: String,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shelf {
    /// Something that it follows has not ended.
    Waiting,
    /// May be taken, now or when its time has come.
    Due,
    /// The same, after it was held.
    Again,
    /// Somebody holds it.
    Held,
    /// Over. [`WELL`] lets go on what follows it; what follows any other end is
    /// handed out as [`Head::broken`].
    Ended(u8),
}

impl Shelf {
    /// Whether what stands there is over.
    pub fn is_end(self) -> bool {
        match self {
            Self::Waiting | Self::Due | Self::Again | Self::Held => false,
            Self::Ended(_) => true,
        }
    }
}

/// The end that lets go on what follows.
pub const WELL: u8 = 0;
/// Ends that there are.
pub const ENDS: u8 = 8;

/// When an entry may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// So much later, by the clock of the home.
    In(Duration),
    /// At this time, in milliseconds since 1970, by the clock of the home.
    At(u64),
}

/// An entry as it is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Which one.
    pub name: EntryName,
    /// By what takers choose. Not empty.
    pub lane: String,
    /// Lower ones are taken first; below [`RANKS`].
    pub rank: u8,
    /// Entries of the same owner that must have ended before it is taken.
    pub after: Vec<String>,
    /// When it may be taken, once nothing is left that it follows.
    pub when: When,
    /// Another put of this owner with the same key finds this entry, for as
    /// long as it is kept.
    pub key: Option<String>,
    /// Opaque, and never changed. At most 16 MiB.
    pub input: Bytes,
    /// Opaque; changed with every step.
    pub state: Bytes,
    /// Held by whoever puts it, for so long at first, and begun. Follows
    /// nothing.
    pub held: Option<Duration>,
}

/// What became of an entry that was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placed {
    /// It is there, in this version.
    New {
        /// To change it by.
        version: u64,
    },
    /// One with its id, or with its key, was there before, under this id.
    /// Nothing of the new one was kept.
    Known {
        /// The id of the one that is there.
        id: String,
    },
}

/// Why nothing was put.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// As many as may be there have not ended.
    #[error("{limit} entries have not ended, and no more are kept")]
    Full {
        /// How many may be there.
        limit: u64,
    },
    /// It follows an entry that is not there.
    #[error("{id} follows {after}, which is not there")]
    Missing {
        /// What was to be put.
        id: String,
        /// What it follows.
        after: String,
    },
    /// Too many follow one entry.
    #[error("{MOST_FOLLOWERS} entries follow {after}, and no more can")]
    Crowded {
        /// What they follow.
        after: String,
    },
    /// The home has not done it, or cannot say.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A lane that is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane<'a> {
    /// Which one.
    pub name: &'a str,
    /// Entries of it that may be held at once, by everybody together.
    pub most_held: Option<u32>,
}

/// What a taker wants.
#[derive(Debug, Clone, Copy)]
pub struct Take<'a> {
    /// From where.
    pub lanes: &'a [Lane<'a>],
    /// How many at most.
    pub most: usize,
    /// How many of them are begun at once: all after these are held until they
    /// are begun with [`Queue::hold`].
    pub begin: usize,
    /// How long they are held without a word from the taker.
    pub hold: Duration,
}

/// What a taker has got.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Taken {
    /// Entries, in the order in which they are to be begun.
    pub entries: Vec<Entry>,
    /// In how long something else may be there to take: an entry becomes due,
    /// or a holder has been silent for too long.
    pub next: Option<Duration>,
}

/// When something became of an entry, in milliseconds since 1970 by the clock
/// of the home; 0 for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamps {
    /// It was put.
    pub put_ms: u64,
    /// It may be, or might have been, taken from then on.
    pub due_ms: u64,
    /// It was begun last.
    pub begun_ms: u64,
    /// It ended.
    pub ended_ms: u64,
}

/// How often something became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tries {
    /// It was begun.
    pub begun: u32,
    /// Its holder fell silent after it had begun.
    pub lost: u32,
}

/// An entry without its input and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which one.
    pub name: EntryName,
    /// By what takers choose.
    pub lane: String,
    /// Lower ones are taken first.
    pub rank: u8,
    /// Where it stands.
    pub shelf: Shelf,
    /// Grows whenever it is taken or changed: whoever knows it may change it.
    pub version: u64,
    /// What it follows.
    pub after: Vec<String>,
    /// Something that it follows has not ended [`WELL`].
    pub broken: bool,
    /// Its holder was asked to stop, and it has not ended since: whoever takes
    /// it next is asked, too.
    pub stopping: bool,
    /// How often it was tried.
    pub tries: Tries,
    /// When it was what.
    pub stamps: Stamps,
    /// What the last change has left; empty where it cannot be read any more.
    pub state: Bytes,
    /// What its holder has noted last.
    pub note: Bytes,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// All but its bytes.
    pub head: Head,
    /// As it was put; `None` where it cannot be read any more.
    pub input: Option<Bytes>,
    /// What the last change has added to it; `None`, too, where it cannot be read
    /// any more.
    pub result: Option<Bytes>,
}

/// An entry that somebody holds, as of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// Which one.
    pub name: EntryName,
    /// The version in which it was taken.
    pub version: u64,
    /// Whether it is, or is about to be, worked at.
    pub begun: Begun,
}

/// Whether an entry that is held is worked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// Not yet: to lose it costs nothing.
    No,
    /// From now on, or for a while already.
    Yes,
}

/// What a holder hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It is still its.
    Yes,
    /// The same, and it is asked to stop.
    Stopping,
    /// It is somebody else's, or nobody's.
    Lost,
}

/// A change of an entry. It is made only where nobody has changed or taken the
/// entry since this version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which one.
    pub name: EntryName,
    /// The version that it has.
    pub version: u64,
    /// Where it goes.
    pub to: To,
    /// What it leaves.
    pub state: Bytes,
    /// What it adds; `None` takes away what was added before.
    pub result: Option<Bytes>,
}

/// Where a change sends an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To be taken, by [`Shelf::Due`], once nothing is left that it follows and
    /// that has not ended: until then it goes to [`Shelf::Waiting`], and is
    /// handed out as broken again if more of that ends badly.
    Due(When),
    /// To be taken once more, by [`Shelf::Again`].
    Again(When),
    /// To its end.
    Ended {
        /// Which one, below [`ENDS`].
        how: u8,
        /// How long it is kept.
        keep: Duration,
    },
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// The entry's new version.
    To(u64),
    /// The entry is not in this version any more.
    Lost,
}

/// Entries of one lane and rank on one shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// By what takers choose.
    pub lane: String,
    /// Its rank.
    pub rank: u8,
    /// Where they stand.
    pub shelf: Shelf,
    /// How many there are.
    pub entries: u64,
}

/// How many entries there are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// All that are above 0, in no order.
    pub counts: Vec<Count>,
    /// For how long the one has been due that was put first of those that may be
    /// taken. What has become due since the last take is not yet among them.
    pub oldest: Option<Duration>,
}

/// Where a part of a list begins, and how long it is.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// The last entry of the part before: when it was put, and its id.
    pub after: Option<(u64, String)>,
    /// Entries at most.
    pub limit: usize,
}

/// A home of entries that wait. What was acknowledged is there after a crash of
/// the process; the memory home says that it is not one for that.
///
/// Within a lane, entries are taken by rank, and within a rank in the order in
/// which they were put, wherever they have been meanwhile. One of
/// [`OLDEST_EVERY`] is the one that was put first, whatever its rank, so that
/// every entry is taken in the end.
///
/// A step that was asked for and not answered ([`StoreError::Unreachable`]) may
/// have been taken. To put or to change the same again is safe: it finds what
/// is there. What was taken then is free again when its time is over; nothing
/// of it was begun by whoever did not hear of it, but it counts as lost.
#[async_trait]
pub trait Queue: Send + Sync + fmt::Debug {
    /// Puts all of them or none; those that are there already, or stand twice
    /// in this call, stay as they are. `most` entries may be there that have not
    /// ended. An entry may follow another one of the same call that stands before
    /// it, and that is new.
    ///
    /// # Errors
    /// [`PutError`] when nothing was put.
    async fn put(&self, entries: Vec<Put>, most: u64) -> Result<Vec<Placed>, PutError>;

    /// Takes what may be taken. Broken entries come first, and from every lane
    /// whether or not it was asked for, and whatever is held of it. Of very many
    /// entries that become due, or free again, at one moment, some are only
    /// there for the next take; [`Taken::next`] is 0 then.
    ///
    /// # Errors
    /// [`StoreError`] when the home cannot say.
    async fn take(&self, take: Take<'_>) -> Result<Taken, StoreError>;

    /// Holds entries for so long from now on, and asks whether they are to stop.
    ///
    /// # Errors
    /// [`StoreError`] when the home cannot say.
    async fn hold(&self, held: &[Holding], hold: Duration) -> Result<Vec<Held>, StoreError>;

    /// Leaves a word about an entry that is held, for those who look; false
    /// where it is lost. It may be gone after a loss of power.
    ///
    /// # Errors
    /// [`StoreError`] when the home cannot say.
    async fn note(&self, held: &Holding, note: Bytes) -> Result<bool, StoreError>;

    /// Makes changes, each on its own and in this order. What follows an entry
    /// that ends is due in the same step, when it was the last one. The very
    /// change that gave an entry its version is not made again, and answers that
    /// version. An entry that has ended once follows nothing any more. One that
    /// is to stop and does not end waits for no time, whatever the change says.
    ///
    /// # Errors
    /// [`StoreError`] when the home cannot say; each may have been made.
    async fn change(&self, changes: Vec<Change>) -> Result<Vec<Changed>, StoreError>;

    /// Asks the holder of an entry to stop; false where nobody holds it.
    ///
    /// # Errors
    /// [`StoreError`] when the home cannot say.
    async fn stop(&self, name: &EntryName) -> Result<bool, StoreError>;

    /// The entry.
    ///
    /// # Errors
    /// [`StoreError`] when the home cannot say, or cannot read it.
    async fn get(&self, name: &EntryName) -> Result<Option<Entry>, StoreError>;

    /// Entries of one owner on one shelf, the one that was put last first. What
    /// moves meanwhile may be in it or not.
    ///
    /// # Errors
    /// [`StoreError`] when the home cannot say.
    async fn list(&self, owner: &str, shelf: Shelf, part: &Part) -> Result<Vec<Head>, StoreError>;

    /// How many there are of everything, of all owners.
    ///
    /// # Errors
    /// [`StoreError`] when the home cannot say.
    async fn counts(&self) -> Result<Counts, StoreError>;

    /// Removes some of what has ended and is not kept any longer, and of the
    /// rest what would not be kept longest, down to `most`. Says how many it
    /// removed; the caller goes on while that is not 0. An entry stays, and is
    /// not counted, while another follows it that has not ended. What its holder
    /// was silent about for too long is free again after this, too.
    ///
    /// # Errors
    /// [`StoreError`] when the home cannot say.
    async fn sweep(&self, most: u64) -> Result<u64, StoreError>;

    /// Changes whenever there may be something to take, or a holder was asked
    /// to stop. A change may be missed: whoever waits looks now and then anyway.
    fn bell(&self) -> watch::Receiver<u64>;

    /// The clock of the home, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`StoreError`] when the home cannot say.
    async fn now_ms(&self) -> Result<u64, StoreError>;
}

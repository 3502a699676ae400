//! Values kept under keys that never come to mean something else.
//!
//! A key is an index with a generation: the slot of a removed value is used again, its key is not.
//! Whoever holds a key may be late; he asks and is told "gone".
//!
//! Not here: reference counts, or any order but that of the slots.
//!
//! The caller keeps keys of one arena away from another of the same type: they would not be told
//! apart.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::num::NonZeroU32;

use slab::Slab;

/// Values of type `T` under keys of type [`Key<K>`].
///
/// `K` only tells the keys of different arenas apart; it is `T` unless `T` is generic or private.
///
/// Memory: room for the largest number of values there ever was at once. An arena that becomes
/// empty gives it back by itself. One that only shrank keeps it until [`Self::shrink_to_fit`],
/// which looks at every slot: call it when a burst is over (every some seconds, say), not per removal.
pub struct Arena<T, K = T> {
    slots: Slab<Slot<T>>,
    /// Goes to the next value. One counter for all slots: a key could come back only after four
    /// thousand million insertions, and only in the same slot.
    generation: NonZeroU32,
    keys: PhantomData<fn() -> K>,
}

struct Slot<T> {
    generation: NonZeroU32,
    value: T,
}

impl<T, K> Arena<T, K> {
    /// An arena without values, and without memory until the first.
    pub const fn new() -> Self {
        Self {
            slots: Slab::new(),
            generation: NonZeroU32::MIN,
            keys: PhantomData,
        }
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The number of values there is memory for.
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// The key that the next insertion answers, for a value that has to know its own.
    pub fn vacant_key(&self) -> Key<K> {
        Key::new(self.slots.vacant_key(), self.generation)
    }

    /// Keeps `value`.
    pub fn insert(&mut self, value: T) -> Key<K> {
        self.insert_with(|_| value)
    }

    /// Keeps the value made by `make`, which is told its key.
    pub fn insert_with(&mut self, make: impl FnOnce(Key<K>) -> T) -> Key<K> {
        let vacant = self.slots.vacant_entry();
        let key = Key::new(vacant.key(), self.generation);
        vacant.insert(Slot {
            generation: self.generation,
            value: make(key),
        });
        self.generation = following(self.generation);
        key
    }

    /// The value, if it is still there.
    pub fn get(&self, key: Key<K>) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        (slot.generation == key.generation).then_some(&slot.value)
    }

    /// The value, to be changed, if it is still there.
    pub fn get_mut(&mut self, key: Key<K>) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        (slot.generation == key.generation).then_some(&mut slot.value)
    }

    /// Whether the value is still there.
    pub fn contains(&self, key: Key<K>) -> bool {
        self.get(key).is_some()
    }

    /// Takes the value out, if it is still there.
    pub fn remove(&mut self, key: Key<K>) -> Option<T> {
        if !self.contains(key) {
            return None;
        }
        let slot = self.slots.remove(key.index as usize);
        if self.slots.is_empty() && self.slots.capacity() > KEPT_WHEN_EMPTY {
            self.slots = Slab::new();
        }
        Some(slot.value)
    }

    /// Gives back the memory behind the last value. Keys stay as they are.
    pub fn shrink_to_fit(&mut self) {
        self.slots.shrink_to_fit();
    }

    /// All values with their keys, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (Key<K>, &T)> {
        self.slots
            .iter()
            .map(|(index, slot)| (Key::new(index, slot.generation), &slot.value))
    }

    /// All values, to be changed, with their keys.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key<K>, &mut T)> {
        self.slots
            .iter_mut()
            .map(|(index, slot)| (Key::new(index, slot.generation), &mut slot.value))
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = Key<K>> {
        self.iter().map(|(key, _)| key)
    }
}

impl<T, K> Default for Arena<T, K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug, K> fmt::Debug for Arena<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The name of one value in an [`Arena`]. Eight bytes, as an `Option` too; `Send` whatever `K` is.
pub struct Key<K> {
    index: u32,
    generation: NonZeroU32,
    of: PhantomData<fn() -> K>,
}

impl<K> Key<K> {
    fn new(index: usize, generation: NonZeroU32) -> Self {
        Self {
            index: u32::try_from(index).expect("fewer than 2^32 values fit in memory"),
            generation,
            of: PhantomData,
        }
    }

    /// The key as a number, never 0: for a token of the poller, or for the wire.
    pub const fn to_bits(self) -> u64 {
        (self.generation.get() as u64) << 32 | self.index as u64
    }

    /// The key that [`Self::to_bits`] told. `None`: no key has these bits.
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match NonZeroU32::new((bits >> 32) as u32) {
            None => None,
            Some(generation) => Some(Self {
                index: bits as u32,
                generation,
                of: PhantomData,
            }),
        }
    }
}

// Derived, these would ask the same of `K`.
impl<K> Clone for Key<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Key<K> {}

impl<K> PartialEq for Key<K> {
    fn eq(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}

impl<K> Eq for Key<K> {}

impl<K> Hash for Key<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_bits().hash(state);
    }
}

impl<K> fmt::Debug for Key<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}v{}", self.index, self.generation)
    }
}

/// The generation after this one.
pub(super) fn following(generation: NonZeroU32) -> NonZeroU32 {
    generation.checked_add(1).unwrap_or(NonZeroU32::MIN)
}

/// Slots that an empty arena may keep, so that one value that comes and goes costs no allocation.
pub(super) const KEPT_WHEN_EMPTY: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut arena: Arena<&str> = Arena::new();
        let old = arena.insert("old");
        assert_eq!(arena.remove(old), Some("old"));
        let new = arena.insert("new");
        assert_eq!(new.index, old.index, "the slot is used again");
        assert_ne!(new, old);
        assert_eq!(arena.get(old), None);
        assert_eq!(arena.get_mut(old), None);
        assert!(!arena.contains(old));
        assert_eq!(arena.remove(old), None);
        assert_eq!(arena.get(new), Some(&"new"));
        assert_eq!(arena.len(), 1);
    }

    #[test]
    fn a_value_knows_its_key() {
        let mut arena: Arena<u64, ()> = Arena::new();
        let before = arena.vacant_key();
        let key = arena.insert_with(|key| key.to_bits());
        assert_eq!(before, key);
        assert_eq!(arena.get(key), Some(&key.to_bits()));
        assert_eq!(Key::from_bits(key.to_bits()), Some(key));
        assert_eq!(Key::<()>::from_bits(7), None);
    }

    #[test]
    fn iteration_names_every_value() {
        let mut arena: Arena<u32> = Arena::new();
        let keys: Vec<_> = (0..5).map(|n| arena.insert(n)).collect();
        arena.remove(keys[2]);
        for (_, value) in arena.iter_mut() {
            *value *= 10;
        }
        let seen: Vec<_> = arena.iter().map(|(key, value)| (key, *value)).collect();
        let want = [(keys[0], 0), (keys[1], 10), (keys[3], 30), (keys[4], 40)];
        assert_eq!(seen, want);
        assert!(arena.keys().eq(want.iter().map(|(key, _)| *key)));
    }

    #[test]
    fn memory_is_given_back() {
        let mut arena: Arena<u64> = Arena::new();
        let keys: Vec<_> = (0..10_000).map(|n| arena.insert(n)).collect();
        for &key in &keys[100..] {
            arena.remove(key);
        }
        assert!(arena.capacity() >= 10_000);
        arena.shrink_to_fit();
        assert!(arena.capacity() < 1_000);
        assert_eq!(arena.get(keys[99]), Some(&99));
        for &key in &keys[..100] {
            arena.remove(key);
        }
        assert_eq!(arena.capacity(), 0, "empty: by itself");
        arena.insert(1);
        assert!(keys.iter().all(|&key| !arena.contains(key)));
    }

    #[test]
    fn generations_skip_zero() {
        assert_eq!(following(NonZeroU32::MAX), NonZeroU32::MIN);
    }

    #[test]
    fn keys_are_small_and_can_be_sent() {
        fn sendable<T: Send + Sync + Copy>() {}
        sendable::<Key<Rc<()>>>();
        assert_eq!(size_of::<Option<Key<String>>>(), 8);
        assert_eq!(size_of::<Slot<u64>>(), 16);
    }
}

//! Rooms: named sets of members, kept so that joining, leaving and going through one are cheap.
//!
//! Pure: it knows neither connections nor sockets. A member is whatever small key the caller uses,
//! a scope keeps rooms of different routers apart, and the hash keys come in with the hasher.
//!
//! Invariant: a member's seat list and the rooms' member lists mirror each other.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use slab::Slab;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// Rooms of all scopes.
#[derive(Debug)]
pub struct Hub<M, H> {
    names: HashMap<Box<str>, Vec<(u32, usize)>, H>,
    rooms: Slab<Room<M>>,
    seats: HashMap<M, Vec<Seat>, H>,
}

#[derive(Debug)]
struct Room<M> {
    scope: u32,
    name: Box<str>,
    members: Vec<M>,
}

/// Where a member sits: the place in the room's list.
#[derive(Clone, Copy, Debug)]
struct Seat {
    room: usize,
    at: usize,
}

impl<M: Copy + Eq + Hash, H: BuildHasher + Clone> Hub<M, H> {
    /// No rooms yet. `hasher` brings the hash keys.
    pub fn new(hasher: H) -> Self {
        Self {
            names: HashMap::with_hasher(hasher.clone()),
            rooms: Slab::new(),
            seats: HashMap::with_hasher(hasher),
        }
    }

    /// Puts `member` into a room, which exists from its first member on. False: it was there.
    pub fn join(&mut self, scope: u32, name: &str, member: M) -> bool {
        let room = match self.find(scope, name) {
            Some(room) => room,
            None => self.open_room(scope, name),
        };
        let seats = self.seats.entry(member).or_default();
        if seats.iter().any(|seat| seat.room == room) {
            return false;
        }
        let members = &mut self.rooms[room].members;
        seats.push(Seat {
            room,
            at: members.len(),
        });
        members.push(member);
        true
    }

    /// Takes `member` out of a room, which is gone with its last member. False: it was not there.
    pub fn leave(&mut self, scope: u32, name: &str, member: M) -> bool {
        let Some(room) = self.find(scope, name) else {
            return false;
        };
        let Some(seats) = self.seats.get_mut(&member) else {
            return false;
        };
        let Some(nth) = seats.iter().position(|seat| seat.room == room) else {
            return false;
        };
        let seat = seats.swap_remove(nth);
        if seats.is_empty() {
            self.seats.remove(&member);
        }
        self.vacate(seat);
        true
    }

    /// Takes `member` out of every room.
    pub fn leave_all(&mut self, member: M) {
        for seat in self.seats.remove(&member).unwrap_or_default() {
            self.vacate(seat);
        }
    }

    /// The members of a room, none if there is no such room.
    pub fn members(&self, scope: u32, name: &str) -> &[M] {
        self.find(scope, name)
            .map_or(&[], |room| &self.rooms[room].members)
    }

    /// Whether `member` is in a room.
    pub fn is_member(&self, scope: u32, name: &str, member: M) -> bool {
        let Some(room) = self.find(scope, name) else {
            return false;
        };
        self.seats
            .get(&member)
            .is_some_and(|seats| seats.iter().any(|seat| seat.room == room))
    }

    /// In how many rooms `member` is.
    pub fn rooms_of(&self, member: M) -> usize {
        self.seats.get(&member).map_or(0, Vec::len)
    }

    /// How many rooms there are.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Whether there is no room.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    fn find(&self, scope: u32, name: &str) -> Option<usize> {
        let scopes = self.names.get(name)?;
        scopes
            .iter()
            .find(|(of, _)| *of == scope)
            .map(|(_, room)| *room)
    }

    fn open_room(&mut self, scope: u32, name: &str) -> usize {
        let room = self.rooms.insert(Room {
            scope,
            name: name.into(),
            members: Vec::new(),
        });
        self.names
            .entry(name.into())
            .or_default()
            .push((scope, room));
        room
    }

    fn vacate(&mut self, seat: Seat) {
        let room = &mut self.rooms[seat.room];
        room.members.swap_remove(seat.at);
        if let Some(&moved) = room.members.get(seat.at) {
            let seats = self
                .seats
                .get_mut(&moved)
                .expect("a member of a room has a seat list");
            let its = seats.iter_mut().find(|its| its.room == seat.room);
            its.expect("a member of a room has a seat in it").at = seat.at;
        }
        if room.members.is_empty() {
            let Room { scope, name, .. } = self.rooms.remove(seat.room);
            let scopes = self
                .names
                .get_mut(&name)
                .expect("a room's name is in the table");
            scopes.retain(|(of, _)| *of != scope);
            if scopes.is_empty() {
                self.names.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::hash::BuildHasherDefault;

    type TestHub = Hub<u32, BuildHasherDefault<std::hash::DefaultHasher>>;

    #[test]
    fn a_room_lives_from_its_first_to_its_last_member() {
        let mut hub = TestHub::new(BuildHasherDefault::default());
        assert!(hub.join(0, "a", 1));
        assert!(!hub.join(0, "a", 1));
        assert!(hub.join(0, "a", 2));
        assert!(hub.join(1, "a", 3));
        assert_eq!(hub.members(0, "a"), [1, 2]);
        assert_eq!(hub.members(1, "a"), [3]);
        assert!(hub.is_member(0, "a", 2));
        assert!(!hub.is_member(1, "a", 2));
        assert!(!hub.leave(0, "a", 3));
        assert!(hub.leave(0, "a", 1));
        assert_eq!(hub.members(0, "a"), [2]);
        hub.leave_all(2);
        hub.leave_all(3);
        assert!(hub.is_empty());
        assert_eq!(hub.names.len(), 0);
        assert_eq!(hub.seats.len(), 0);
    }

    /// Many random joins and leaves beside a plain set of pairs.
    #[test]
    fn same_as_a_set_of_pairs() {
        let mut hub = TestHub::new(BuildHasherDefault::default());
        let mut pairs = BTreeSet::new();
        let mut seed = 0x9e37_79b9_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (room, member) = (((seed >> 33) % 7).to_string(), (seed >> 40) as u32 % 30);
            match (seed >> 60) % 8 {
                0..=3 => assert_eq!(hub.join(0, &room, member), pairs.insert((room, member))),
                4..=6 => assert_eq!(hub.leave(0, &room, member), pairs.remove(&(room, member))),
                _ => {
                    hub.leave_all(member);
                    pairs.retain(|(_, of)| *of != member);
                }
            }
            assert_eq!(
                hub.rooms_of(member),
                pairs.iter().filter(|(_, of)| *of == member).count()
            );
        }
        for room in 0..7 {
            let room = room.to_string();
            let members: BTreeSet<u32> = hub.members(0, &room).iter().copied().collect();
            let want: BTreeSet<u32> = pairs
                .iter()
                .filter(|(of, _)| *of == room)
                .map(|(_, member)| *member)
                .collect();
            assert_eq!(members, want);
        }
    }
}

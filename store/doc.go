// Package store is the small key-value room where tgtrunk keeps what must survive a restart: Telegram sessions,
// access hashes, update state, what is known of peers.
//
// It does: byte values under string keys, versions for compare-and-set, expiry, scans by prefix, and leases with
// fencing tokens that say which process holds an account. File, the driver that is always there, is one bbolt file.
//
// It does not: know what the values mean, encrypt them, or notify anybody of changes.
package store

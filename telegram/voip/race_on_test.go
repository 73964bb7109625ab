//go:build race

package voip

// raceEnabled says that sync.Pool, which pion/srtp uses for AES-CM, forgets at random.
const raceEnabled = true

package chat

import "time"

// State is what is remembered of the chats: a Book of each person and the Totals of the account. Whoever keeps it writes
// what a method of Desk has changed before the Actions are carried out, so that a crash forgets an answer rather than
// repeats it.
type State struct {
	Book   *Book
	Totals *Totals
}

// Book is what is remembered of one person. It marshals to JSON.
type Book struct {
	Last     int       `json:"last,omitempty"`     // id of the newest message read
	Language string    `json:"language,omitempty"` // of the words the person has used
	Agent    Agent     `json:"agent,omitzero"`     // who called and was answered last
	Messages tokens    `json:"messages,omitzero"`  // left of Limits.Messages
	Calls    tokens    `json:"calls,omitzero"`     // and of Limits.Calls
	Menu     time.Time `json:"menu,omitzero"`      // when the list was sent last
	Auto     time.Time `json:"auto,omitzero"`      // when a message that meant nothing was answered last
	Missed   time.Time `json:"missed,omitzero"`    // when a missed call was told of last

	AutoClosed time.Time `json:"auto_closed,omitzero"` // as Auto, while it was closed
	Private    time.Time `json:"private,omitzero"`     // when the person was told that privacy settings refuse our calls
	Told       tokens    `json:"told,omitzero"`        // left of Limits.Told
}

// Agent is somebody at the PBX.
type Agent struct {
	Extension string `json:"extension,omitempty"`
	Name      string `json:"name,omitempty"`
}

// Totals are what is counted of an account. They marshal to JSON.
type Totals struct {
	Messages tokens `json:"messages,omitzero"`
	Calls    tokens `json:"calls,omitzero"`
	Told     tokens `json:"told,omitzero"`
}

// Bucket is a limit: Count at once, and as many again in every Per.
type Bucket struct {
	Count int
	Per   time.Duration
}

// tokens are what is left of a bucket.
type tokens struct {
	Left float64   `json:"left"`
	At   time.Time `json:"at"` // zero: the bucket is full
}

// fill returns what is left now.
func (t tokens) fill(b Bucket, now time.Time) tokens {
	full := float64(b.Count)
	if t.At.IsZero() {
		return tokens{full, now}
	}
	// Clocks go back at times: then nothing is gained.
	gained := max(0, now.Sub(t.At).Seconds()) / b.Per.Seconds() * full
	return tokens{min(full, t.Left+gained), now}
}

// takeBoth takes one of each, or none.
func takeBoth(a, b *tokens, as, bs Bucket, now time.Time) bool {
	*a, *b = a.fill(as, now), b.fill(bs, now)
	if a.Left < 1 || b.Left < 1 {
		return false
	}
	a.Left--
	b.Left--
	return true
}

// due reports whether something that is done at most once in every may be done, and notes that it is.
func due(last *time.Time, every time.Duration, now time.Time) bool {
	if !last.IsZero() && now.Sub(*last) < every {
		return false
	}
	*last = now
	return true
}

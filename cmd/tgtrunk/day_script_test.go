package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/tgtrunk/tgtrunk/bridge"
	"github.com/tgtrunk/tgtrunk/telegram/cloud"
)

// plot is what happens in a call of the day.
type plot uint8

const (
	outAnswered plot = iota // the user answers, they talk, somebody hangs up
	outDeclined
	outIgnored       // nobody answers within the dialplan's two seconds
	outGivenUp       // the SIP caller gives up while it rings
	outVanishesEarly // the user's device is gone while it rings
	outVanishesLate  // the user's device is gone while they talk
	outAbsent        // no device is on
	outPrivate
	outBlocked
	outUnknown // no such username
	outNoNumber
	inAnswered
	inRefused // the desk phone is busy
	inGivenUp // the user gives up while it rings
	plots
)

// told is the reason of a call where nothing else comes in between.
var told = [plots]bridge.Reason{
	outAnswered: bridge.Normal, outDeclined: bridge.Busy, outIgnored: bridge.NoAnswer, outGivenUp: bridge.Cancelled,
	outVanishesEarly: bridge.MediaFailed, outVanishesLate: bridge.MediaFailed, outAbsent: bridge.Unreachable,
	outPrivate: bridge.Privacy, outBlocked: bridge.Blocked, outUnknown: bridge.NotFound, outNoNumber: bridge.BadNumber,
	inAnswered: bridge.Normal, inRefused: bridge.Busy, inGivenUp: bridge.Cancelled,
}

// often is how many of a hundred calls have a plot.
var often = [plots]int{
	outAnswered: 28, outDeclined: 8, outIgnored: 4, outGivenUp: 6, outVanishesEarly: 3, outVanishesLate: 3, outAbsent: 3,
	outPrivate: 3, outBlocked: 2, outUnknown: 2, outNoNumber: 2, inAnswered: 24, inRefused: 6, inGivenUp: 6,
}

func (p plot) in() bool { return p >= inAnswered }

// meets says whether the plot needs a person with a phone of its own.
func (p plot) meets() bool { return p <= outVanishesLate || p.in() }

// errand is one call of the script.
type errand struct {
	plot
	via      int // 0, 1: that account; 2: either, as the pool decides
	stranger bool
	how      int           // outgoing: 0 by username, 1 by user-id, 2 by phone number
	ring     time.Duration // before somebody does something
	talk     time.Duration
	farEnd   bool // the called side hangs up
}

// number is that of the SIP caller, by which the route is chosen.
func (e errand) number() string { return [...]string{"201", "202", "203"}[e.via] }

// writeScript makes the calls of a day, always the same from a seed.
func writeScript(seed uint64, calls int) []errand {
	random := rand.New(rand.NewPCG(seed, 1))
	script := make([]errand, calls)
	for i := range script {
		e := errand{
			via: random.IntN(3), how: random.IntN(3), ring: between(random, 50, 400), talk: between(random, 800, 1600), farEnd: random.IntN(2) == 0,
		}
		for dice := random.IntN(100); dice >= often[e.plot]; e.plot++ {
			dice -= often[e.plot]
		}
		if e.in() {
			e.via = random.IntN(2)
		}
		if e.plot <= outDeclined && random.IntN(4) == 0 {
			e.stranger, e.how = true, 0
		}
		script[i] = e
	}
	script[0].plot, script[0].via, script[0].stranger, script[0].how = outAnswered, 0, true, 0 // account one is soon limited towards strangers
	return script
}

func between(random *rand.Rand, least, most int) time.Duration {
	return time.Duration(least+random.IntN(most-least)) * time.Millisecond
}

// The people of the day. Friends have written to both accounts.
const dayFriends, dayStrangers = 24, 16

func dayPerson(kind string, n, i int) cloud.User {
	name := fmt.Sprintf("%s%02d", kind, i)
	return cloud.User{
		ID: int64(6_000_000 + n*1000 + i), Phone: fmt.Sprintf("+4930200%d%03d", n, i), Username: name + "_day", FirstName: name, Code: "10100",
	}
}

func dayPeople(kind string, n, count int) (all []cloud.User) {
	for i := range count {
		all = append(all, dayPerson(kind, n, i))
	}
	return all
}

var (
	dayAbsent  = dayPerson("absent", 3, 0)
	dayPrivate = dayPerson("private", 4, 0)
	dayBlocks  = dayPerson("blocks", 5, 0)
	dayTalker  = dayPerson("talker", 6, 0) // talks while the connection to Asterisk is cut
)

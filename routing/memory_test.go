package routing

import "testing"

func TestRecall(t *testing.T) {
	shown := func(n *Numbers, p Party) Presented {
		p.Number = n.CallerID(p).Number
		out := n.presented(p)
		if out == nil {
			t.Fatalf("%+v leaves nothing to remember", p)
		}
		return *out
	}
	var plain *Numbers
	germans := numbers(t, german)
	anna := shown(plain, Party{UserID: 5000000201, Username: "anna_b"})
	bob := shown(plain, Party{UserID: 700001, Phone: "4930123456"})
	short := shown(plain, Party{UserID: 123456})
	carl := shown(plain, Party{UserID: 15000000201}) // ends like Anna
	named := shown(numbers(t, NumberRules{CallerID: rulesOf("tg_{username}")}), Party{UserID: 600001, Username: "Dora_1"})
	trail := shown(numbers(t, NumberRules{CallerID: rulesOf("{userid}77")}), Party{UserID: 5000000999})
	us := shown(plain, Party{UserID: 800001, Phone: "12025550123"})
	for _, test := range []struct {
		rules   *Numbers
		dialled string
		known   []Presented
		want    int64
	}{
		{plain, "5000000201", []Presented{anna}, 5000000201},
		{plain, "+75000000201", []Presented{anna}, 5000000201},
		{plain, "00495000000201", []Presented{anna}, 5000000201},
		{plain, "000495000000201", []Presented{anna}, 0}, // five digits in front
		{plain, "#5000000201", []Presented{anna}, 5000000201},
		{plain, "*5000000201", []Presented{anna}, 0}, // a rule says it
		{plain, "a5000000201", []Presented{anna}, 0}, // a username
		{plain, "000000201", []Presented{anna}, 0},   // a part of the user-id
		{plain, "5000000201", []Presented{anna, carl}, 5000000201},
		{plain, "15000000201", []Presented{anna, carl}, 0}, // both end so
		{plain, "15000000201", []Presented{carl}, 15000000201},

		{plain, "123456", []Presented{short}, 123456},
		{plain, "0123456", []Presented{short}, 0},
		{plain, "+123456", []Presented{short}, 123456},
		{plain, "+4930123456", []Presented{short}, 0},

		{plain, "030123456", []Presented{bob}, 700001},  // no country is configured: nothing else it could be
		{plain, "30123456", []Presented{bob}, 700001},   // E.164 only if it lost its plus
		{germans, "030123456", []Presented{bob}, 0},     // a certain phone number, and his
		{plain, "+4330123456", []Presented{bob}, 0},     // Austria's
		{plain, "004330123456", []Presented{bob}, 0},    // the same
		{plain, "4330123456", []Presented{bob}, 700001}, // the plus is lost: his end, at most four in front
		{plain, "4930123456", []Presented{bob}, 700001},
		{plain, "+4930123456", []Presented{bob}, 0},
		{plain, "0123456", []Presented{bob}, 0}, // less than the national number
		{plain, "2025550123", []Presented{us}, 800001},
		{plain, "12025550123", []Presented{us}, 800001},
		{plain, "5550123", []Presented{us}, 0}, // a local number is the end of many

		{numbers(t, zero), "TG_dora_1", []Presented{named}, 600001}, // exactly, though no rule reads it now
		{plain, "dora_1", []Presented{named}, 0},
		{plain, "0500000099977", []Presented{trail}, 5000000999},
		{plain, "05000000999", []Presented{trail}, 0},

		// A phone number that is itself remembered is that, although a user-id is its end.
		{plain, "+15000000201", []Presented{anna, shown(plain, Party{UserID: 900001, Phone: "15000000201"})}, 0},
		{plain, "5000000201", nil, 0},
	} {
		r, err := test.rules.Read(test.dialled)
		got, ok := recall(test.dialled, r, err != nil, test.known)
		if ok != (test.want != 0) || got.UserID != test.want {
			t.Errorf("%q with %+v recalls %+v, want %d", test.dialled, test.known, got, test.want)
		}
	}
}

// The text that was shown is the user's it was shown for last.
func TestRecallPrefersTheLast(t *testing.T) {
	one := Presented{Number: "x-anna", Kind: Username, UserID: 1000001}
	two := Presented{Number: "X-Anna", Kind: Username, UserID: 1000002}
	if got, ok := recall("x-anna", Reading{}, true, []Presented{two, one}); !ok || got.UserID != 1000002 {
		t.Errorf("%+v", got)
	}
}

func TestNothingToRemember(t *testing.T) {
	var n *Numbers
	for _, p := range []Party{{}, {UserID: 123456}, {Number: "*123456"}, {UserID: 123456, Number: "??"}} {
		if got := n.presented(p); got != nil {
			t.Errorf("%+v leaves %+v", p, got)
		}
	}
}

func TestCountryCodes(t *testing.T) {
	for number, want := range map[string]int{"12025550123": 1, "79161234567": 1, "4930123456": 2, "35312345678": 3, "2011234567": 2, "2121234567": 3, "8881234567": 3, "8613912345678": 2} {
		if got := countryCodeLen(number); got != want {
			t.Errorf("%s: %d", number, got)
		}
	}
}

// FuzzRecall: whoever is recalled owns the end of what was dialled, or exactly the text.
func FuzzRecall(f *testing.F) {
	f.Add("+75000000201", int64(5000000201), "", int64(15000000201), "4930123456")
	f.Add("030123456", int64(10000), "4930123456", int64(30123456), "")
	f.Fuzz(func(t *testing.T, dialled string, user1 int64, phone1 string, user2 int64, phone2 string) {
		var n *Numbers
		var known []Presented
		for _, p := range []Party{{UserID: user1, Phone: phone1}, {UserID: user2, Phone: phone2}} {
			p.Number = n.CallerID(p).Number
			if shown := n.presented(p); shown != nil {
				known = append(known, *shown)
			}
		}
		r, err := n.Read(dialled)
		got, ok := recall(dialled, r, err != nil, known)
		if !ok {
			return
		}
		owners := map[int64]bool{}
		for _, p := range known {
			if p.Number == dialled || p.endsIn(onlyDigits(dialled), err != nil || r.bare) {
				owners[p.UserID] = true
			}
		}
		if !owners[got.UserID] || len(owners) != 1 && got.Number != dialled {
			t.Fatalf("%q recalls %+v of %+v", dialled, got, known)
		}
	})
}

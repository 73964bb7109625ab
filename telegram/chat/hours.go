package chat

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Week is when something is open: the same hours every week, but for holidays.
type Week struct {
	zone     *time.Location
	days     [7][]span // by time.Weekday
	holidays []string  // 2006-01-02, or 01-02 of every year
}

// span is a stretch of a day in minutes from midnight, the end not in it.
type span struct{ from, to int }

const minutesOfDay = 24 * 60

// weekdays in the order in which people write ranges of them.
func weekdays() []string { return []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} }

// NewWeek reads opening hours. open is by days, such as mon-fri or "sat, sun", and says "9:00-12:00, 13:00-17:30";
// holidays are 2026-12-25, or 12-25 for every year. A day that is not mentioned is closed.
func NewWeek(zone *time.Location, open map[string]string, holidays []string) (*Week, error) {
	w := &Week{zone: zone, holidays: holidays}
	var errs []error
	for days, hours := range open {
		spans, err := parseSpans(hours)
		if err != nil {
			errs = append(errs, err)
		}
		indexes, err := parseDays(days)
		if err != nil {
			errs = append(errs, err)
		}
		for _, i := range indexes {
			day := (i + 1) % 7 // time.Weekday begins with Sunday
			if w.days[day] != nil {
				errs = append(errs, fmt.Errorf("%s: %s has hours twice", days, weekdays()[i]))
			}
			w.days[day] = spans
		}
	}
	for _, day := range holidays {
		_, whole := time.Parse(time.DateOnly, day)
		_, yearly := time.Parse("2006-01-02", "2000-"+day) // a leap year
		if whole != nil && yearly != nil {
			errs = append(errs, fmt.Errorf("holiday %q: write 2026-12-25, or 12-25 for every year", day))
		}
	}
	return w, errors.Join(errs...)
}

func parseDays(text string) (days []int, err error) {
	for part := range strings.SplitSeq(text, ",") {
		from, to, several := strings.Cut(strings.ToLower(strings.TrimSpace(part)), "-")
		if !several {
			to = from
		}
		first, last := slices.Index(weekdays(), strings.TrimSpace(from)), slices.Index(weekdays(), strings.TrimSpace(to))
		if first < 0 || last < first {
			return nil, fmt.Errorf("days %q: write mon, tue, wed, thu, fri, sat, sun, or a range such as mon-fri", text)
		}
		for i := first; i <= last; i++ {
			days = append(days, i)
		}
	}
	return days, nil
}

func parseSpans(text string) (spans []span, err error) {
	for part := range strings.SplitSeq(text, ",") {
		from, to, ok := strings.Cut(strings.TrimSpace(part), "-")
		s := span{minutes(from), minutes(to)}
		if !ok || s.from < 0 || s.to <= s.from {
			return nil, fmt.Errorf("hours %q: write 9:00-17:30, or several with commas between; what goes over midnight is two days'", text)
		}
		if n := len(spans); n > 0 && s.from < spans[n-1].to {
			return nil, fmt.Errorf("hours %q: they overlap, or are not in order", text)
		}
		spans = append(spans, s)
	}
	return spans, nil
}

// minutes reads 9:00; -1 for what is no time. The day's end is 24:00.
func minutes(text string) int {
	h, m, ok := strings.Cut(strings.TrimSpace(text), ":")
	hour, err1 := strconv.ParseUint(h, 10, 8)
	minute, err2 := strconv.ParseUint(m, 10, 8)
	at := int(hour*60 + minute)
	if !ok || err1 != nil || err2 != nil || len(h) > 2 || len(m) != 2 || minute > 59 || at > minutesOfDay {
		return -1
	}
	return at
}

// Open reports whether it is open; a nil Week is.
func (w *Week) Open(at time.Time) bool {
	if w == nil {
		return true
	}
	at = at.In(w.zone)
	now := at.Hour()*60 + at.Minute()
	return slices.ContainsFunc(w.hours(at), func(s span) bool { return s.from <= now && now < s.to })
}

// hours are those of a day.
func (w *Week) hours(day time.Time) []span {
	if slices.Contains(w.holidays, day.Format(time.DateOnly)) || slices.Contains(w.holidays, day.Format("01-02")) {
		return nil
	}
	return w.days[day.Weekday()]
}

// Next is when it opens after a moment at which it is closed, in the zone of the Week; false where that is not within a
// year.
func (w *Week) Next(after time.Time) (time.Time, bool) {
	after = after.In(w.zone)
	for day := range 366 {
		// Noon is on the day that is meant whatever the clocks do.
		noon := time.Date(after.Year(), after.Month(), after.Day()+day, 12, 0, 0, 0, w.zone)
		for _, s := range w.hours(noon) {
			at := time.Date(noon.Year(), noon.Month(), noon.Day(), s.from/60, s.from%60, 0, 0, w.zone)
			if at.After(after) {
				return at, true
			}
		}
	}
	return time.Time{}, false
}

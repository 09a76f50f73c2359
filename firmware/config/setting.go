package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2/unstable"
)

// setting is one field of a Config as those see it who set it: a TOML value.
// The file, the environment, the flags and Render all go through it, so that a
// rule holds for each of them.
type setting interface {
	// set checks the value and stores it. It stores nothing where it finds a fault.
	set(v value) []fault
	// fromText reads what stands in a variable or a flag. It never fails: text
	// that cannot be understood becomes a value that set refuses.
	fromText(text string) value
	// toml gives the stored value as TOML that set accepts.
	toml() string
}

// fault is a value that was refused, and what was expected in its place. Where
// want ends with suchAs, the example of the key completes it.
type fault struct {
	value value
	want  string
}

const suchAs = ", such as "

func (f fault) String() string { return f.value.shown() + ": expected " + f.want }

// secret finds the user and the password in a URL, also in one that lacks its
// scheme. It rather takes too much than too little.
var secret = lazily(`(://)\S*@|[^/\s:]+:[^/\s]\S*@`)

// lazily makes an expression when it is first used: most settings are right, and need
// none.
func lazily(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// shown gives the value for a message: in one line, short, without passwords.
func (v value) shown() string {
	switch v.kind {
	case unstable.Array:
		if len(v.items) == 0 {
			return "an empty list"
		}
		return "a list"
	case unstable.InlineTable, unstable.Table:
		return "a table"
	case unstable.ArrayTable:
		return "a list of tables"
	case unstable.String, unstable.Invalid:
		return shorten(quote(secret().ReplaceAllString(v.text, "${1}…@")))
	default:
		return shorten(v.text)
	}
}

// scalar is a setting of one value. read returns what was expected, or "".
type scalar[T any] struct {
	at   *T
	read func(v value) (got T, want string)
	show func(T) string
	bare bool // in a variable or a flag: text as it stands, not TOML
}

func (s scalar[T]) set(v value) []fault {
	got, want := s.read(v)
	if want != "" {
		return []fault{{v, want}}
	}
	*s.at = got
	return nil
}

func (s scalar[T]) toml() string { return s.show(*s.at) }

func (s scalar[T]) fromText(text string) value {
	if s.bare && !strings.HasPrefix(text, `"`) && !strings.HasPrefix(text, "'") {
		return value{kind: unstable.String, text: text}
	}
	if v, ok := parseValue(text); ok {
		return v
	}
	return value{kind: unstable.Invalid, text: text}
}

// text is a string that passes a check, which returns what was expected or "".
func text(at *string, check func(string) string) setting {
	return scalar[string]{at: at, bare: true, show: quote, read: func(v value) (string, string) {
		if v.kind != unstable.String {
			return "", "text in quotes" + suchAs
		}
		if !isPlain(v.text) {
			return "", "text without control characters" + suchAs
		}
		return v.text, check(v.text)
	}}
}

// duration is a Duration from least to most.
func duration(at *Duration, least, most Duration) setting {
	return scalar[Duration]{at: at, bare: true,
		show: func(d Duration) string { return quote(d.String()) },
		read: func(v value) (Duration, string) {
			d, err := ParseDuration(v.text)
			if err != nil || v.kind != unstable.String {
				return 0, `a duration such as "90s", "10m" or "6h"`
			}
			if d < least || d > most {
				return 0, fmt.Sprintf("a duration from %q to %q", least, most) + suchAs
			}
			return d, ""
		}}
}

// size is a Size from least to most.
func size(at *Size, least, most Size) setting {
	return scalar[Size]{at: at, bare: true,
		show: func(s Size) string { return quote(s.String()) },
		read: func(v value) (Size, string) {
			s, err := ParseSize(strings.ReplaceAll(v.text, "_", ""))
			if err != nil || v.kind != unstable.String && v.kind != unstable.Integer {
				return 0, `a size such as "2GB", "512MiB" or 1000000 (bytes)`
			}
			if s < least || s > most {
				return 0, fmt.Sprintf("a size from %q to %q", least, most) + suchAs
			}
			return s, ""
		}}
}

// integer is a whole number from least to most.
func integer(at *int, least, most int) setting {
	want := fmt.Sprintf("a whole number from %d to %d", least, most) + suchAs
	return scalar[int]{at: at, show: strconv.Itoa, read: func(v value) (int, string) {
		n, err := strconv.ParseInt(v.text, 0, 32)
		if v.kind != unstable.Integer || err != nil || int(n) < least || int(n) > most {
			return 0, want
		}
		return int(n), ""
	}}
}

// fraction is a number from 0 to 1.
func fraction(at *float64) setting {
	show := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	return scalar[float64]{at: at, show: show, read: func(v value) (float64, string) {
		f, err := strconv.ParseFloat(strings.ReplaceAll(v.text, "_", ""), 64)
		number := v.kind == unstable.Float || v.kind == unstable.Integer
		if !number || err != nil || math.IsNaN(f) || f < 0 || f > 1 {
			return 0, "a number from 0 to 1" + suchAs
		}
		return math.Abs(f), "" // -0 is 0
	}}
}

// boolean is true or false.
func boolean(at *bool) setting {
	return scalar[bool]{at: at, show: strconv.FormatBool, read: func(v value) (bool, string) {
		if v.kind != unstable.Bool {
			return false, "true or false"
		}
		return v.text == "true", ""
	}}
}

// choice is one of a few words, which name gives for each value.
func choice[T comparable](at *T, name func(T) string, values ...T) setting {
	words := make([]string, len(values))
	for i, x := range values {
		words[i] = quote(name(x))
	}
	last := len(words) - 1
	want := strings.Join(words[:last], ", ") + " or " + words[last]
	return scalar[T]{at: at, bare: true,
		show: func(x T) string { return quote(name(x)) },
		read: func(v value) (T, string) {
			i := slices.IndexFunc(values, func(x T) bool { return name(x) == v.text })
			if v.kind != unstable.String || i < 0 {
				var none T
				return none, want
			}
			return values[i], ""
		}}
}

// list is a setting of several strings that each pass a check.
type list struct {
	at        *[]string
	check     func(string) string // returns what was expected, or ""
	needed    bool                // the list may not be empty
	separator string              // the characters between items in a variable or a flag
	most      int                 // items; 0: any number
}

func (l list) set(v value) []fault {
	if v.kind != unstable.Array || l.needed && len(v.items) == 0 {
		return []fault{{v, "a list" + suchAs}}
	}
	if l.most > 0 && len(v.items) > l.most {
		return []fault{{v, fmt.Sprintf("a list of at most %d", l.most) + suchAs}}
	}
	var got []string // nil where the list is empty
	var faults []fault
	for _, item := range v.items {
		item.text = strings.TrimSpace(item.text)
		want := "text in quotes in a list" + suchAs
		if item.kind == unstable.String && isPlain(item.text) {
			want = l.check(item.text)
		}
		if want != "" {
			faults = append(faults, fault{item, want})
		}
		got = append(got, item.text)
	}
	if len(faults) == 0 {
		*l.at = got
	}
	return faults
}

func (l list) fromText(text string) value {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "[") {
		if v, ok := parseValue(text); ok {
			return v
		}
		return value{kind: unstable.Invalid, text: text}
	}
	v := value{kind: unstable.Array}
	for item := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(l.separator, r) }) {
		if item = strings.TrimSpace(item); item != "" {
			v.items = append(v.items, value{kind: unstable.String, text: item})
		}
	}
	return v
}

// toml puts a long list on one line for each item, so that it can be edited.
func (l list) toml() string {
	items := make([]string, len(*l.at))
	for i, item := range *l.at {
		items[i] = quote(item)
	}
	if line := "[" + strings.Join(items, ", ") + "]"; len(line) <= 60 {
		return line
	}
	return "[\n  " + strings.Join(items, ",\n  ") + ",\n]"
}

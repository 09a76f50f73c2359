package population

import (
	"cheeseboard/storage/pypi"
)

// How often a letter stands in a project's name, of about a thousand.
var letters = []struct {
	letter byte
	weight int
}{
	{'a', 90}, {'b', 28}, {'c', 47}, {'d', 40}, {'e', 93}, {'f', 22}, {'g', 26}, {'h', 25}, {'i', 75},
	{'j', 8}, {'k', 20}, {'l', 52}, {'m', 40}, {'n', 62}, {'o', 70}, {'p', 62}, {'q', 4}, {'r', 68},
	{'s', 62}, {'t', 78}, {'u', 30}, {'v', 14}, {'w', 14}, {'x', 9}, {'y', 34}, {'z', 5},
}

// words end many names of projects.
var words = []string{
	"api", "app", "auth", "aws", "bot", "cli", "client", "common", "config", "core", "data", "db", "django", "flask",
	"framework", "helper", "http", "io", "json", "kit", "lib", "llm", "manager", "ml", "model", "parser", "plugin",
	"py", "pytest", "python", "sdk", "server", "service", "test", "toolkit", "tools", "types", "utils", "web", "wrapper",
}

// Name is the normal name of project i. Names are in order: that of a larger
// number sorts behind that of a smaller one, as in a root list.
func (p *Population) Name(i int) pypi.Name {
	total := 0
	for _, l := range letters {
		total += l.weight
	}
	// The place of the project among all, between 0 and 1, is spelt in letters
	// until no other project has the same.
	place, width := (float64(i)+0.5)/float64(p.projects), 1.0
	var name []byte
	for width > 0.5/float64(p.projects) || len(name) < 2 {
		below := 0
		for j, l := range letters {
			share := float64(l.weight) / float64(total)
			from := float64(below) / float64(total)
			if place < from+share || j == len(letters)-1 {
				name = append(name, l.letter)
				place, width = (place-from)/share, width*share
				break
			}
			below += l.weight
		}
	}
	r := p.chance(i, forName)
	for range r.IntN(4) {
		name = append(name, letters[r.IntN(len(letters))].letter)
	}
	for r.IntN(5) < 3 && len(name) < 40 {
		name = append(name, '-')
		name = append(name, words[r.IntN(len(words))]...)
	}
	return pypi.Name(name)
}

package pypi

import "strings"

// Namespace keeps projects of one index apart from those of the same name of another,
// where both are kept in one place. The zero value is that of the index which has no
// name.
type Namespace string

// namespaceMark cannot stand in the name of a project.
const namespaceMark = "@"

// In gives the name under which a project is kept: "numpy@wheels".
func (n Namespace) In(name Name) Name {
	if n == "" {
		return name
	}
	return name + namespaceMark + Name(n)
}

// Out undoes In; not ok means that the name is kept for another index.
func (n Namespace) Out(kept Name) (name Name, ok bool) {
	name, of := kept.Apart()
	return name, of == n
}

// Apart gives a name, and the namespace in which it is kept.
func (name Name) Apart() (Name, Namespace) {
	plain, of, _ := strings.Cut(string(name), namespaceMark)
	return Name(plain), Namespace(of)
}

package card

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licenceNames are what files with the terms of a module are called.
var licenceNames = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying|copyright|notice|patents)([.-].*)?$`)

// terms are phrases that tell licences apart: the first whose phrases all occur counts.
// Spaces and case do not matter.
var terms = []struct {
	id      string // of SPDX
	phrases []string
}{
	{"MPL-2.0", []string{"mozilla public license version 2.0"}},
	{"Apache-2.0", []string{"apache license", "version 2.0"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "neither the name"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "names of its contributors may be used to endorse"}},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms"}},
	{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose"}},
	{"ISC", []string{"permission to use, copy, modify, and distribute this software for any purpose"}},
	{"MIT", []string{"permission is hereby granted, free of charge", "the software is provided \"as is\""}},
	{"Unlicense", []string{"this is free and unencumbered software released into the public domain"}},
	{"GPL-2.0-only", []string{"gnu general public license", "version 2, june 1991"}},
}

// spaces are what separates words, or decorates lines.
var spaces = regexp.MustCompile(`[\s*#/]+`)

// licenceOf tells a licence by its text; "" where it is not known.
func licenceOf(text []byte) string {
	plain := strings.NewReplacer("“", `"`, "”", `"`).Replace(spaces.ReplaceAllString(strings.ToLower(string(text)), " "))
	for _, t := range terms {
		if !slices.ContainsFunc(t.phrases, func(phrase string) bool { return !strings.Contains(plain, phrase) }) {
			return t.id
		}
	}
	return ""
}

// readTerms reads the licences in a folder: their names at SPDX, and all of their texts.
// Of what has no terms that we know, we may give nothing away: that is an error.
func readTerms(dir string) (ids []string, texts []byte, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	var all bytes.Buffer
	for _, e := range entries {
		if e.IsDir() || !licenceNames.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, nil, err
		}
		fmt.Fprintf(&all, "[%s]\n\n%s\n", e.Name(), bytes.TrimSpace(text))
		if id := licenceOf(text); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, nil, fmt.Errorf("find the licence in %s: there is none that is known; see licence.go", dir)
	}
	return ids, all.Bytes(), nil
}

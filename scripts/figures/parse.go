package main

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// measurement is one line of a benchmark's output.
type measurement struct {
	pkg    string // relative to the module
	name   string // without Benchmark and without the number of processors
	rounds int
	values []value
}

// value is one pair of number and unit, as `go test -bench` writes them.
type value struct {
	number float64
	unit   string
}

// parseLine reads one line of benchmark output, in the format of
// https://golang.org/design/14313-benchmark-format. Other lines give ok false.
// procs is GOMAXPROCS of the run: the testing package appends it to names.
func parseLine(pkg, line string, procs int) (m measurement, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 || len(fields)%2 != 0 {
		return m, false
	}
	name, ok := strings.CutPrefix(fields[0], "Benchmark")
	if !ok || name == "" {
		return m, false
	}
	if procs > 1 {
		name = strings.TrimSuffix(name, "-"+strconv.Itoa(procs))
	}
	m = measurement{pkg: pkg, name: name}
	var err error
	if m.rounds, err = strconv.Atoi(fields[1]); err != nil {
		return m, false
	}
	for i := 2; i < len(fields); i += 2 {
		number, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return m, false
		}
		m.values = append(m.values, value{number, fields[i+1]})
	}
	return m, true
}

// figure is one number of the result: the median of its runs.
type figure struct {
	pkg, name, unit string
	key             string
	median          float64
	runs            int
	spread          float64 // largest minus smallest, divided by the median
}

// figures gathers the runs of each benchmark, in the order in which they came,
// and gives every number its key. Benchmarks of the same name in different
// packages get the package into their keys.
func figures(measurements []measurement) []figure {
	type id struct{ pkg, name, unit string }
	runs := map[id][]float64{}
	var order []id
	packages := map[string]map[string]bool{} // key without unit -> packages
	for _, m := range measurements {
		base := snake(m.name)
		if packages[base] == nil {
			packages[base] = map[string]bool{}
		}
		packages[base][m.pkg] = true
		for _, v := range m.values {
			unit, number := readableUnit(v)
			id := id{m.pkg, m.name, unit}
			if runs[id] == nil {
				order = append(order, id)
			}
			runs[id] = append(runs[id], number)
		}
	}
	var result []figure
	for _, id := range order {
		numbers := slices.Sorted(slices.Values(runs[id]))
		f := figure{pkg: id.pkg, name: id.name, unit: id.unit, median: median(numbers), runs: len(numbers)}
		if f.median != 0 {
			f.spread = (numbers[len(numbers)-1] - numbers[0]) / f.median
		}
		f.key = snake(id.name)
		if len(packages[f.key]) > 1 {
			f.key = snake(id.pkg) + "_" + f.key
		}
		f.key += "_" + snake(id.unit)
		result = append(result, f)
	}
	return result
}

// median of sorted numbers; of an even count, the mean of the middle two.
func median(sorted []float64) float64 {
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// readableUnit turns nanoseconds into microseconds and says `per` for a slash.
func readableUnit(v value) (string, float64) {
	switch v.unit {
	case "ns/op":
		return "us", v.number / 1000
	case "B/op":
		return "alloc_bytes", v.number
	case "allocs/op":
		return "allocs", v.number
	}
	return strings.ReplaceAll(strings.TrimSuffix(v.unit, "/op"), "/", "_per_"), v.number
}

// Where a name falls into words. A size belongs to the number before it: 1MB is
// one word, while other numbers stay with the word before them.
var (
	size      = regexp.MustCompile(`[0-9]+[KMG]i?B`)
	lowUp     = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	upWord    = regexp.MustCompile(`([A-Z])([A-Z][a-z])`)
	separator = regexp.MustCompile(`[^a-z0-9]+`)
)

// snake turns a benchmark's name into a key: PutCommit1MB into put_commit_1mb,
// RenderPage10JSON into render_page10_json, a/b=1 into a_b_1.
func snake(name string) string {
	name = size.ReplaceAllStringFunc(name, func(s string) string { return "_" + strings.ToLower(s) + "_" })
	name = upWord.ReplaceAllString(lowUp.ReplaceAllString(name, "${1}_$2"), "${1}_$2")
	return strings.Trim(separator.ReplaceAllString(strings.ToLower(name), "_"), "_")
}

// title is the name by which people see a benchmark.
func (f figure) title() string { return path.Join(f.pkg, f.name) }

// number formats a figure with four significant digits, without an exponent.
func (f figure) number() string {
	decimals := 0
	for limit := 1000.0; decimals < 6 && f.median < limit && f.median != float64(int64(f.median)); limit /= 10 {
		decimals++
	}
	return fmt.Sprintf("%.*f", decimals, f.median)
}

package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"path"
)

// module is a dependency with faults that lose data.
type module struct {
	path   string
	faults []fault
	added  map[string][]byte // files that the corrections need
}

// fault is a piece of source text that stands exactly once in a file, and what
// has to stand there.
type fault struct {
	file           string
	broken, mended string
}

// allocate is a source file of badger's package table.
//
//go:embed allocate.go.txt
var allocate []byte

var modules = []module{
	{
		// The position of a buffer. Where int has 32 bits it is always 0, buffers
		// overlap, and badger writes corrupt tables without reporting an error.
		path: "github.com/dgraph-io/ristretto/v2",
		faults: []fault{
			{"z/allocator.go", "uint64((bufIdx+1)<<32)", "uint64(bufIdx+1)<<32"},
		},
	},
	{
		path: "github.com/dgraph-io/badger/v4",
		faults: []fault{
			// The argument of a deferred call has the value of its moment: nil. A
			// table that could not be made is then left out of the merge without
			// an error, and what was in it is gone.
			{"levels.go", "defer inflightBuilders.Done(err)", "defer func() { inflightBuilders.Done(err) }()"},
			// Whoever asks for the next place takes the error out of the channel, and
			// breaks off without it: the same loss. And where there are more errors
			// than places in the channel, all wait for ever.
			{"y/y.go", "\t\tt.errCh <- err\n", keepError("\t\t")},
			{"y/y.go", "case err := <-t.errCh:\n\t\t\tif err != nil {\n", "case err := <-t.errCh:\n\t\t\tif err != nil {\n" + keepError("\t\t\t\t")},
			// A merge that failed, as on a full disk, is tried again at once, for ever.
			{"levels.go", "s.kv.opt.Warningf(\"While running doCompact: %v\\n\", err)\n",
				"s.kv.opt.Warningf(\"While running doCompact: %v\\n\", err)\n" +
					"\t\t\tselect {\n\t\t\tcase <-lc.HasBeenClosed():\n\t\t\tcase <-time.After(5 * time.Second):\n\t\t\t}\n"},
			// A table is written through a memory map of a file without blocks:
			// on a full disk that ends the process.
			{"table/table.go", "written := bd.Copy(mf.Data)", "if err := allocate(mf, bd.Size); err != nil {\n" +
				"\t\treturn nil, y.Wrapf(err, \"while creating table: %s\", fname)\n\t}\n\twritten := bd.Copy(mf.Data)"},
		},
		added: map[string][]byte{"table/allocate.go": allocate},
	},
}

// keepError puts an error where Finish finds it, if no other lies there.
func keepError(indent string) string {
	return indent + "select {\n" + indent + "case t.errCh <- err:\n" + indent + "default:\n" + indent + "}\n"
}

// name is the last part of the module's path that is not a version.
func (m module) name() string { return path.Base(path.Dir(m.path)) }

// mend corrects the files in place. A broken text that does not stand there exactly
// once is an error: the dependency has changed, and a person has to look at it.
func (m module) mend(files map[string][]byte) error {
	for _, f := range m.faults {
		source, ok := files[f.file]
		if !ok {
			return fmt.Errorf("there is no %s; look where it went, and whether it still needs mending", f.file)
		}
		if n := bytes.Count(source, []byte(f.broken)); n != 1 {
			return fmt.Errorf("%s holds %s %d times, not once; look whether it still needs mending", f.file, f.broken, n)
		}
		files[f.file] = bytes.Replace(source, []byte(f.broken), []byte(f.mended), 1)
	}
	for name, content := range m.added {
		if _, ok := files[name]; ok {
			return fmt.Errorf("there is a %s already; look whether it still needs mending", name)
		}
		files[name] = content
	}
	return nil
}

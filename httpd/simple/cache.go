package simple

import (
	"container/list"
	"sync"

	"cheeseboard/storage/pypi"
)

// cache keeps rendered bodies, the least recently used leave first. A body under
// a new tag takes the place of the one under the old tag, for the old one will
// not be asked for again.
type cache struct {
	mu      sync.Mutex
	limit   int64
	size    int64
	order   *list.List // of *kept; the front was used last
	entries map[cacheKey]*list.Element
}

// cacheKey names a body apart from its tag. The two HTML types share one body.
type cacheKey struct {
	name   pypi.Name // "" for the root list
	json   bool
	coding coding
}

// rendered is a body as it goes out, with what its headers need to know. It is
// never changed.
type rendered struct {
	body   []byte
	large  *largeBody // instead of body: held until release
	serial int64      // of X-PyPI-Last-Serial; 0 where not known
}

type kept struct {
	key  cacheKey
	tag  string
	page rendered
}

// keptOverhead is about what an entry costs besides its strings, in bytes.
const keptOverhead = 300

func (k *kept) cost() int64 {
	return int64(len(k.page.body)) + int64(len(k.tag)) + int64(len(k.key.name)) + keptOverhead
}

func newCache(limit int64) *cache {
	return &cache{limit: limit, order: list.New(), entries: make(map[cacheKey]*list.Element)}
}

// get returns the body that is kept under key, if it is the one of that tag.
func (c *cache) get(key cacheKey, tag string) (rendered, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok {
		return rendered{}, false
	}
	k := e.Value.(*kept)
	if k.tag != tag {
		return rendered{}, false
	}
	c.order.MoveToFront(e)
	return k.page, true
}

// put keeps a body. One that would take more than a quarter of the room is not
// kept, so that a single huge page does not sweep everything else out.
func (c *cache) put(key cacheKey, tag string, page rendered) {
	k := &kept{key: key, tag: tag, page: page}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok {
		c.remove(e)
	}
	if k.cost() > c.limit/4 {
		return
	}
	for c.size+k.cost() > c.limit {
		c.remove(c.order.Back())
	}
	c.entries[key] = c.order.PushFront(k)
	c.size += k.cost()
}

func (c *cache) remove(e *list.Element) {
	k := c.order.Remove(e).(*kept)
	delete(c.entries, k.key)
	c.size -= k.cost()
}

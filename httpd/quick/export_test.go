package quick

// Waiting tells how many connections wait for a request, and may be closed for others.
func (s *Server) Waiting() (n int) {
	for _, c := range s.all() {
		if c.between.Load() && c.state.Load() == waiting {
			n++
		}
	}
	return n
}

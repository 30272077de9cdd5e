"""What standards and other people's TCP tests ask for, by name, and which of our tests hold it.

`names.csv` lists the names: RFC 9293's requirements (appendix B), and the scenarios of smoltcp, lwIP, gVisor's packetimpact and
packetdrill. A test says what it holds by `@pytest.mark.conformance("smoltcp:listen_validation", "rfc9293:MUST-4")`.
`make conformance` runs them and writes docs/conformance.md.
"""

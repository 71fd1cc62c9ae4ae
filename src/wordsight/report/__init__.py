"""What people read: self-contained HTML pages that open offline, in English and Japanese."""

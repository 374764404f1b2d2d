"""How sealed segments find candidates: profiles, codebooks, FAISS."""

"""How a face is drawn: who it is (traits), what the action units do (shapes), and the paint."""

"""A trained model behind HTTP: what is asked, how it is answered, the application and its page."""

"""What can an agent ask this program, over the Model Context Protocol?"""
